// Real work through npm's `ioredis`: node ioredis.mjs PORT
import Redis from 'ioredis';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

const KEYS = 5000;
const client = new Redis({ port: Number(process.argv[2]), host: '127.0.0.1', maxRetriesPerRequest: 1 });
client.on('error', (error) => { console.error(`ioredis: ${error}`); process.exit(1); });
await client.flushall();

const pipeline = client.pipeline();
for (let i = 0; i < KEYS; i++) pipeline.set(`io:${i}`, `value ${i}`).append(`io:${i}`, '!');
const replies = await pipeline.exec();
assert.equal(replies.length, 2 * KEYS);
assert.ok(replies.every(([error]) => error === null));
for (let i = 0; i < KEYS; i += 7) assert.equal(await client.get(`io:${i}`), `value ${i}!`);

assert.deepEqual(await client.multi().set('n', 41).incr('n').exec(), [[null, 'OK'], [null, 42]]);
const second = client.duplicate();
await client.watch('n');
await second.set('n', 1);
assert.equal(await client.multi().set('n', 2).exec(), null);
assert.equal(await client.get('n'), '1');

const binary = randomBytes(300000);
await client.set(Buffer.from([0, 255, 13, 10]), binary);
assert.ok(binary.equals(await client.getBuffer(Buffer.from([0, 255, 13, 10]))));

await client.set('soon', 'v', 'PX', 60);
await client.set('later', 'v', 'EX', 100, 'NX');
assert.equal(await client.set('later', 'w', 'EX', 100, 'NX'), null);
await new Promise((resolve) => setTimeout(resolve, 120));
assert.equal(await client.exists('soon', 'later'), 1);
assert.ok(await client.pttl('later') > 95000);

let seen = new Set();
for await (const keys of client.scanStream({ match: 'io:*', count: 200 })) keys.forEach((key) => seen.add(key));
assert.equal(seen.size, KEYS);
await client.mset(new Map([['a', '1'], ['b', '2']]));
assert.deepEqual(await client.mget('a', 'b', 'absent'), ['1', '2', null]);
await assert.rejects(client.incr('later'), /not an integer/);
assert.equal(await client.setrange('a', 3, 'x'), 4);
assert.equal(await client.bitcount('b'), 3);

await second.select(4);
await second.set('in4', 1);
assert.equal(await client.get('in4'), null);
await second.quit();
await client.flushall();
assert.equal(await client.dbsize(), 0);
await client.quit();
console.log('ioredis: well');
