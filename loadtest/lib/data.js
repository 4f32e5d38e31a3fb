// The users of a run: lines `user,pass` as `sluice token --users N --prefix u --pass` writes them.
// Read once and shared by all virtual users.

import { SharedArray } from 'k6/data';
import { files } from './config.js';

function read(name, path, hint) {
  return new SharedArray(name, () => {
    if (!path) {
      throw new Error(hint);
    }
    return open(path)
      .split('\n')
      .filter((line) => line !== '');
  });
}

function split(line) {
  const comma = line.indexOf(',');
  return { user: line.slice(0, comma), pass: line.slice(comma + 1) };
}

const passes = read(
  'passes',
  files.passes,
  'SLUICE_PASSES names no file: sluice token --users 50000 --prefix u --pass --out FILE',
);

// The user with a number from 0, with a pass.
export function userAt(number) {
  return split(passes[number]);
}

// Ends the run before it starts where the file has too few users for it.
export function needUsers(wanted) {
  if (passes.length < wanted) {
    throw new Error(`${files.passes} has ${passes.length} users, this run needs ${wanted}`);
  }
}

// The users of the file of tokens (not passes), which only the smoke walk needs.
export function tokens() {
  const lines = read(
    'tokens',
    files.tokens,
    'SLUICE_TOKENS names no file: sluice token --users 10 --prefix t --out FILE',
  );
  return { count: lines.length, at: (number) => split(lines[number]) };
}
