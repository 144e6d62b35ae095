/**
 * Nice value of threads and processes whose work takes seconds anyway, such as decoding a video, while a text request
 * needs its core within milliseconds.
 */
export const SLOW_WORK_NICENESS = 10;
