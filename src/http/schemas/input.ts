import { Type } from 'typebox';
import { MODEL } from '../model-selection.js';
import { MAX_PARTS } from '../request-limits.js';
import { RoleName, Text } from './common.js';

/** How JSON says what is to be embedded; several routes take it. */

/** A file, by URL. */
export const mediaUrl = (what: string) =>
  Type.String({
    pattern: '^([Dd][Aa][Tt][Aa]|[Hh][Tt][Tt][Pp][Ss]?):',
    description: `${what} as a data: URL with base64; an https: URL where the service is set up to fetch from its host.`,
  });

const ONE_PART = {
  text: Type.Optional(Text),
  image: Type.Optional(mediaUrl('A picture')),
  video: Type.Optional(mediaUrl('A clip')),
};

/** Text, a picture or a clip. */
export const Part = Type.Object(ONE_PART, {
  additionalProperties: false,
  minProperties: 1,
  maxProperties: 1,
  title: 'Part',
});

/** The fields of which an input has exactly one. */
export const INPUT = {
  ...ONE_PART,
  parts: Type.Optional(
    Type.Array(Part, {
      minItems: 1,
      maxItems: MAX_PARTS,
      description: 'Several parts, in order, that mean something together: one sequence, one vector.',
    }),
  ),
};

export const Input = Type.Object(
  { ...INPUT, role: Type.Optional(RoleName), ...MODEL },
  { additionalProperties: false, minProperties: 1, title: 'Input' },
);
