import { type TObject, type TSchema, Type } from 'typebox';

/** Descriptions of request bodies: JSON, and where a route takes files, multipart and raw. */

const File = Type.String({ format: 'binary', description: 'A file; its content decides its type.' });
const files = Type.Array(File, { description: 'A file, or several; the field may have any name.' });

const raw = (description: string) => ({ schema: Type.String({ format: 'binary', description }) });

/** A JSON body, with examples that can be sent unchanged. */
export const jsonContent = (schema: TSchema, examples: readonly object[]) => ({
  'application/json': { schema: Type.With(schema, { examples }) },
});

/** A multipart body of files and texts that are one input, in their order, with `fields` beside them; or one raw file. */
export const inputContent = ({ properties }: TObject) => ({
  'multipart/form-data': {
    schema: Type.Partial(
      Type.Object({
        file: files,
        text: Type.Array(Type.String(), { description: 'A text, or several. The order of files and texts matters.' }),
        ...properties,
      }),
    ),
  },
  ...rawContent('image/*', 'video/*'),
});

/** A multipart body of files that are an input each, with `fields` for all of them; or one raw file. */
export const filesContent = (mediaType: 'image/*' | 'video/*', { properties }: TObject) => ({
  'multipart/form-data': { schema: Type.Object({ file: files, ...properties }) },
  ...rawContent(mediaType),
});

const rawContent = (...mediaTypes: string[]) =>
  Object.fromEntries([...mediaTypes, 'application/octet-stream'].map((type) => [type, raw('The bytes of one file.')]));
