// Real work through npm's `redis`: node node_redis.mjs PORT
import { createClient, commandOptions, WatchError } from 'redis';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

const KEYS = 5000;
const url = `redis://127.0.0.1:${process.argv[2]}`;
const client = createClient({ url });
client.on('error', (error) => { console.error(`node-redis: ${error}`); process.exit(1); });
await client.connect();
await client.flushAll();

// The library pipelines what is asked for in one turn of the loop.
const indices = [...Array(KEYS).keys()];
await Promise.all(indices.map((i) => client.set(`node:${i}`, `value ${i}`)));
const values = await Promise.all(indices.map((i) => client.get(`node:${i}`)));
assert.deepEqual(values, indices.map((i) => `value ${i}`));
assert.equal(await client.get('absent'), null);

const results = await client.multi().set('t', '1').incr('t').get('t').exec();
assert.deepEqual(results, ['OK', 2, '2']);
await client.executeIsolated(async (isolated) => {
  await isolated.watch('t');
  await client.set('t', '9');
  await assert.rejects(isolated.multi().set('t', '10').exec(), WatchError);
});
assert.equal(await client.get('t'), '9');

const binary = randomBytes(200000);
await client.set('binary', binary);
assert.ok(binary.equals(await client.get(commandOptions({ returnBuffers: true }), 'binary')));

await client.set('soon', 'v', { PX: 60 });
await client.set('later', 'v', { EX: 100 });
assert.ok(await client.ttl('later') > 95);
await new Promise((resolve) => setTimeout(resolve, 120));
assert.equal(await client.get('soon'), null);
assert.equal(await client.set('later', 'w', { NX: true }), null);
assert.equal(await client.getEx('later', { PERSIST: true }), 'v');
assert.equal(await client.ttl('later'), -1);

const seen = new Set();
for await (const key of client.scanIterator({ MATCH: 'node:*', COUNT: 100 })) seen.add(key);
assert.equal(seen.size, KEYS);
assert.equal(await client.mGet(['node:1', 'absent', 'node:2']).then((v) => v.join()), 'value 1,,value 2');
await assert.rejects(client.incr('binary'), /not an integer/);
assert.equal(await client.del(indices.map((i) => `node:${i}`)), KEYS);

const other = client.duplicate({ database: 2 });
await other.connect();
await other.set('in2', '1');
assert.equal(await client.get('in2'), null);
await other.quit();
await client.flushAll();
assert.equal(await client.dbSize(), 0);
await client.quit();
console.log('node-redis: well');
