import { Type } from 'typebox';
import { BACKUP_NAME } from '../../backup/backups.js';

export const BackupQuery = Type.Object(
  {
    name: Type.Optional(
      Type.String({ pattern: BACKUP_NAME, description: 'Of the folder in BACKUP_DIR. Default: the time.' }),
    ),
    keep: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 10_000,
        description: 'Backups to keep, this one included; older ones are removed.',
      }),
    ),
  },
  { additionalProperties: false },
);

export const BackupReply = Type.Object(
  {
    name: Type.String(),
    created_at: Type.String({ format: 'date-time' }),
    indexes: Type.Array(Type.String(), { description: 'Names of the indexes in it.' }),
    files: Type.Integer(),
    bytes: Type.Integer({ description: 'Length of its files; hard links take no room of their own.' }),
    removed: Type.Array(Type.String(), { description: 'Older backups that were removed.' }),
  },
  { title: 'Backup', description: 'A folder that can take the place of DATA_DIR.' },
);

export const snapshotSchema = {
  operationId: 'snapshot',
  tags: ['service'],
  summary: 'Back up every served index, with kept originals, while the service runs',
  querystring: BackupQuery,
  response: { 201: BackupReply },
};
