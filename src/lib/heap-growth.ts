/**
 * Lets the heap grow to three times its live objects before V8 looks through all of it. V8 keeps a heap small as long as
 * its collections take little time in all: with 36 MB of live objects, beside clients that come and go, it marked all of
 * it every four seconds, and each time some request waited for 10 to 50 ms: the p99 beside such clients was twice that without
 * them, and is 1.3 times (`bench/misbehaving-clients.mjs`). Under load V8 lets a heap grow to four times by itself.
 */
import { setFlagsFromString } from 'node:v8';

setFlagsFromString('--heap-growing-percent=200');
