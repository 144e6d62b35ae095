/** What an alert is tried with: series, one value a minute in promtool's notation, and when it must fire. */
export interface AlertCase {
  alert: string;
  series: Record<string, string>;
  /** Minutes after which it fires. */
  after: number;
  /** Labels of the alert, its name and severity aside. */
  labels: Record<string, string>;
  severity: 'critical' | 'warning';
}

const TARGET = 'job="onespace",instance="one:9464"';
const MODEL = `${TARGET},model="mini@1"`;
const API = `${TARGET},method="POST",route="/retrieve"`;
const job = { job: 'onespace' };
const target = { ...job, instance: 'one:9464' };
const model = { ...target, model: 'mini@1' };

/** Requests of an hour and more: `each` of `outcome` a minute beside 100 that succeed. */
const requests = (outcome: string, each: number) => ({
  [`onespace_requests_total{${API},outcome="ok"}`]: '0+100x600',
  [`onespace_requests_total{${API},outcome="${outcome}"}`]: `0+${each}x600`,
});

/** Each alert at least once. */
export const ALERT_CASES: readonly AlertCase[] = [
  {
    alert: 'OnespaceErrorBudgetFastBurn',
    series: requests('failed', 10),
    after: 70,
    labels: job,
    severity: 'critical',
  },
  {
    alert: 'OnespaceErrorBudgetFastBurn',
    series: requests('abandoned', 10),
    after: 70,
    labels: job,
    severity: 'critical',
  },
  { alert: 'OnespaceErrorBudgetSlowBurn', series: requests('failed', 4), after: 400, labels: job, severity: 'warning' },
  {
    alert: 'OnespaceSlow',
    series: {
      [`onespace_request_seconds_count{${API},status="200"}`]: '0+100x600',
      [`onespace_request_seconds_bucket{${API},status="200",le="2.5"}`]: '0+70x600',
    },
    after: 75,
    labels: job,
    severity: 'warning',
  },
  { alert: 'OnespaceDown', series: { [`up{${TARGET}}`]: '1x3 0x10' }, after: 6, labels: target, severity: 'critical' },
  { alert: 'OnespaceAbsent', series: { 'up{job="other"}': '1x20' }, after: 7, labels: job, severity: 'critical' },
  {
    alert: 'OnespaceStoreDown',
    series: { [`onespace_store_up{${MODEL}}`]: '1x3 0x10' },
    after: 6,
    labels: model,
    severity: 'critical',
  },
  {
    alert: 'OnespaceModelDown',
    series: {
      [`onespace_device_up{${MODEL},device="cuda"}`]: '0x10',
      [`onespace_device_up{${MODEL},device="cpu"}`]: '1x3 0x10',
    },
    after: 6,
    labels: model,
    severity: 'critical',
  },
  {
    alert: 'OnespaceDeviceDown',
    series: {
      [`onespace_device_up{${MODEL},device="cuda"}`]: '1x3 0x10',
      [`onespace_device_up{${MODEL},device="cpu"}`]: '1x13',
    },
    after: 7,
    labels: { ...model, device: 'cuda' },
    severity: 'warning',
  },
  {
    alert: 'OnespaceDeviceFailover',
    series: { [`onespace_device_moves_total{${MODEL},from="cuda",to="cpu"}`]: '0x5 1x10' },
    after: 8,
    labels: { ...model, from: 'cuda', to: 'cpu' },
    severity: 'warning',
  },
  {
    alert: 'OnespaceGpuVanished',
    series: { [`up{${TARGET}}`]: '1x60', [`onespace_gpu_memory_total_bytes{${TARGET},gpu="0"}`]: '8x20 stale' },
    after: 28,
    labels: { ...target, gpu: '0' },
    severity: 'warning',
  },
  {
    alert: 'OnespaceWorkerRestarts',
    series: { [`onespace_worker_restarts_total{${MODEL}}`]: '0 0 1 2 3 4 4 4 4' },
    after: 8,
    labels: model,
    severity: 'warning',
  },
  {
    alert: 'OnespaceRestarting',
    series: { [`process_start_time_seconds{${TARGET}}`]: '1 1 2 3 4 4 4' },
    after: 6,
    labels: target,
    severity: 'warning',
  },
  {
    alert: 'OnespaceRefusing',
    series: { [`onespace_refused_total{${TARGET},reason="requests"}`]: '0+3x30' },
    after: 10,
    labels: { ...target, reason: 'requests' },
    severity: 'warning',
  },
  {
    alert: 'OnespaceSaturated',
    series: {
      [`onespace_requests_under_way{${TARGET}}`]: '90x30',
      [`onespace_requests_limit{${TARGET}}`]: '100x30',
    },
    after: 10,
    labels: target,
    severity: 'warning',
  },
  {
    alert: 'OnespaceSaturated',
    series: {
      [`onespace_inflight_bytes{${TARGET}}`]: '900x30',
      [`onespace_inflight_limit_bytes{${TARGET}}`]: '1000x30',
    },
    after: 10,
    labels: target,
    severity: 'warning',
  },
  {
    alert: 'OnespaceSaturated',
    series: { [`onespace_queue_length{${MODEL}}`]: '500x30', [`onespace_queue_limit{${TARGET}}`]: '512x30' },
    after: 10,
    labels: model,
    severity: 'warning',
  },
  {
    alert: 'OnespaceEventLoopBlocked',
    series: { [`nodejs_eventloop_lag_p99_seconds{${TARGET}}`]: '2x30' },
    after: 10,
    labels: target,
    severity: 'warning',
  },
  {
    alert: 'OnespaceEventLoopBlocked',
    series: { [`onespace_event_loop_active_seconds_total{${TARGET}}`]: '0+59x30' },
    after: 12,
    labels: target,
    severity: 'warning',
  },
  {
    alert: 'OnespaceDiskFilling',
    series: {
      [`onespace_disk_free_bytes{${TARGET},folder="data"}`]: '390-0.5x600',
      [`onespace_disk_size_bytes{${TARGET},folder="data"}`]: '1000x600',
    },
    after: 200,
    labels: { ...target, folder: 'data' },
    severity: 'warning',
  },
  {
    alert: 'OnespaceDiskFull',
    series: {
      [`onespace_disk_free_bytes{${TARGET},folder="log"}`]: '40x30',
      [`onespace_disk_size_bytes{${TARGET},folder="log"}`]: '1000x30',
    },
    after: 10,
    labels: { ...target, folder: 'log' },
    severity: 'critical',
  },
  {
    alert: 'OnespaceJournalGrowing',
    series: { [`onespace_journal_bytes{${MODEL}}`]: '300x60', [`onespace_journal_due_bytes{${MODEL}}`]: '100x60' },
    after: 20,
    labels: model,
    severity: 'warning',
  },
  {
    alert: 'OnespaceSnapshotFailing',
    series: { [`onespace_snapshots_total{${MODEL},outcome="failed"}`]: '0 0 0 1 1 1 1 1' },
    after: 7,
    labels: { ...model, outcome: 'failed' },
    severity: 'warning',
  },
  {
    alert: 'OnespaceSnapshotOld',
    series: {
      [`onespace_snapshot_timestamp_seconds{${MODEL}}`]: '0x1600',
      [`onespace_journal_bytes{${MODEL}}`]: '110x1600',
      [`onespace_journal_due_bytes{${MODEL}}`]: '100x1600',
    },
    after: 1500,
    labels: model,
    severity: 'warning',
  },
];

/** A service that does well, with some mistakes of clients and a client that changes its mind: nothing fires. */
export const QUIET: Record<string, string> = {
  [`up{${TARGET}}`]: '1x1600',
  [`process_start_time_seconds{${TARGET}}`]: '5x1600',
  [`onespace_requests_total{${API},outcome="ok"}`]: '0+1000x1600',
  [`onespace_requests_total{${API},outcome="failed"}`]: '0+1x1600',
  [`onespace_requests_total{${API},outcome="abandoned"}`]: '0x1600',
  [`onespace_requests_total{${API},outcome="aborted"}`]: '0+200x1600',
  [`onespace_requests_total{${API},outcome="invalid"}`]: '0+200x1600',
  [`onespace_requests_total{${TARGET},method="GET",route="/health",outcome="failed"}`]: '0+60x1600',
  [`onespace_request_seconds_count{${API},status="200"}`]: '0+1000x1600',
  [`onespace_request_seconds_bucket{${API},status="200",le="2.5"}`]: '0+995x1600',
  [`onespace_store_up{${MODEL}}`]: '1x1600',
  [`onespace_device_up{${MODEL},device="cpu"}`]: '1x1600',
  [`onespace_device_moves_total{${MODEL},from="cuda",to="cpu"}`]: '0x1600',
  [`onespace_gpu_memory_total_bytes{${TARGET},gpu="0"}`]: '8x1600',
  [`onespace_worker_restarts_total{${MODEL}}`]: '1x1600',
  [`onespace_refused_total{${TARGET},reason="bytes"}`]: '3x1600',
  [`onespace_requests_under_way{${TARGET}}`]: '10x1600',
  [`onespace_requests_limit{${TARGET}}`]: '100x1600',
  [`onespace_inflight_bytes{${TARGET}}`]: '10x1600',
  [`onespace_inflight_limit_bytes{${TARGET}}`]: '100x1600',
  [`onespace_queue_length{${MODEL}}`]: '10x1600',
  [`onespace_queue_limit{${TARGET}}`]: '100x1600',
  [`nodejs_eventloop_lag_p99_seconds{${TARGET}}`]: '0.02x1600',
  [`onespace_event_loop_active_seconds_total{${TARGET}}`]: '0+30x1600',
  [`onespace_disk_free_bytes{${TARGET},folder="data"}`]: '900-0.1x1600',
  [`onespace_disk_size_bytes{${TARGET},folder="data"}`]: '1000x1600',
  [`onespace_journal_bytes{${MODEL}}`]: '50x1600',
  [`onespace_journal_due_bytes{${MODEL}}`]: '100x1600',
  [`onespace_snapshots_total{${MODEL},outcome="failed"}`]: '0x1600',
  [`onespace_snapshot_timestamp_seconds{${MODEL}}`]: '0x1600',
};

/** Minutes at which nothing has fired. */
export const QUIET_MINUTES = [10, 400, 1500];
