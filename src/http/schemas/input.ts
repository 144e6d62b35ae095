import { Type } from 'typebox';
import { MAX_PARTS } from '../request-limits.js';
import { MODEL, RoleName, Text } from './common.js';

/** Inputs in JSON; several routes take them. */

/** A file, by URL. */
export const mediaUrl = (what: string) =>
  Type.String({
    pattern: '^([Dd][Aa][Tt][Aa]|[Hh][Tt][Tt][Pp][Ss]?):',
    description: `${what} as a data: URL with base64; or an https: URL of a host that ALLOW_URL_HOSTS lists.`,
  });

const ONE_PART = {
  text: Type.Optional(Text),
  image: Type.Optional(mediaUrl('An image')),
  video: Type.Optional(mediaUrl('A video')),
  path: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 4096,
      description: 'A file below a folder that MEDIA_ROOTS names: "photos/2019/a.jpg". Its content decides what it is.',
    }),
  ),
};

/** Text, an image or a video. */
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
      description: 'Several parts, in order, that belong together: one sequence, one vector.',
    }),
  ),
};

export const Input = Type.Object(
  { ...INPUT, role: Type.Optional(RoleName), ...MODEL },
  { additionalProperties: false, minProperties: 1, title: 'Input' },
);
