/**
 * Turns off the telemetry of the libraries. ONNX Runtime sends its events to Microsoft, and keeps files for them in the
 * home folder and among the temporary files, unless the variable is in the environment before its native library loads.
 * The environment of a worker thread is a copy that native code does not see. So this is imported by the main thread,
 * before any other module of an entry point, and by whatever starts threads with a runtime in them;
 * `test/privacy/telemetry.test.ts` holds every place to it.
 */
const OFF = {
  ORT_DISABLE_TELEMETRY: '1',
  HF_HUB_DISABLE_TELEMETRY: '1',
  DO_NOT_TRACK: '1',
};

Object.assign(process.env, OFF);
