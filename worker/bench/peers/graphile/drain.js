// Fills Graphile Worker's queue from bench_queue ("load"), or processes so many jobs and prints how many milliseconds that
// took ("run"). The database is in DATABASE_URL.
import { EventEmitter } from "node:events";
import { Logger, run, runMigrations } from "graphile-worker";
import pg from "pg";

const [mode, count] = process.argv.slice(2);
const pgPool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 24 });
const logger = new Logger(() => (level, message) => {
  if (level === "error") console.error(message);
});

async function load() {
  await runMigrations({ pgPool, logger });
  await pgPool.query(`
    SELECT count(*) FROM graphile_worker.add_jobs((
      SELECT array_agg(ROW('event',
        json_build_object('p', partition, 'pos', position, 'typ', type, 'subj', subject, 'd', data, 'happened', time),
        NULL, NULL, NULL, NULL, NULL, NULL)::graphile_worker.job_spec ORDER BY n)
      FROM bench_queue))`);
}

async function work(n) {
  const events = new EventEmitter();
  let done = 0;
  const finished = new Promise((resolve, reject) => {
    events.on("job:error", ({ error }) => reject(error));
    events.on("job:complete", () => {
      if (++done === n) resolve();
    });
  });
  const event = async (j, helpers) => {
    await helpers.query({
      name: "apply",
      text: "SELECT bench_apply($1, $2, $3, $4, $5, $6)",
      values: [j.p, j.pos, j.typ, j.subj, JSON.stringify(j.d), j.happened],
    });
  };
  const began = performance.now();
  const runner = await run({
    pgPool,
    logger,
    events,
    noHandleSignals: true,
    taskList: { event },
    preset: {
      worker: { concurrentJobs: 16, pollInterval: 100, localQueue: { size: 500 }, completeJobBatchDelay: 0 },
    },
  });
  await finished;
  console.log(Math.round(performance.now() - began));
  await runner.stop();
}

if (mode === "load") await load();
else await work(Number(count));
await pgPool.end();
