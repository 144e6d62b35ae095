import { readFileSync } from 'node:fs';

/**
 * A secret from the environment, or from the file that `NAME_FILE` names: orchestrators mount secrets as files, because
 * an environment is seen by child processes and in `docker inspect`. Line ends at the end of the file are not part of it.
 * @returns undefined when neither is set
 * @throws Error when both are set, or the file is empty or cannot be read; it never holds the secret
 */
export function secretOf(env: Record<string, string | undefined>, name: string): string | undefined {
  const [value, file] = [env[name], env[`${name}_FILE`]].map((one) => (one === '' ? undefined : one));
  if (file === undefined) return value;
  if (value !== undefined) throw new Error(`${name} and ${name}_FILE are both set: remove one of them.`);
  const secret = readText(file, name).replace(/[\r\n]+$/, '');
  if (secret === '') throw new Error(`${name}_FILE=${file}: the file is empty.`);
  return secret;
}

function readText(file: string, name: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`${name}_FILE=${file} cannot be read: ${(error as Error).message}.`, { cause: error });
  }
}
