/* Real work through hiredis: hiredis PORT. Ends with 1 and a line on stderr at the first surprise.
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEYS         5000
#define BINARY_BYTES 100000

static redisContext *context;

static void fail(const char *what)
{
    fprintf(stderr, "hiredis: %s (%s)\n", what,
            context && context->err ? context->errstr : "no error of the library");
    exit(1);
}

static void expect(int condition, const char *what)
{
    if (!condition)
        fail(what);
}

/* Runs one command and takes its reply; the caller frees it. */
#define CALL(...) must(redisCommand(context, __VA_ARGS__))

static redisReply *must(void *reply)
{
    expect(reply != NULL, "no reply");
    return reply;
}

static void expect_string(redisReply *reply, const char *bytes, size_t size, const char *what)
{
    expect(reply->type == REDIS_REPLY_STRING && reply->len == size &&
               memcmp(reply->str, bytes, size) == 0,
           what);
    freeReplyObject(reply);
}

static void expect_integer(redisReply *reply, long long value, const char *what)
{
    expect(reply->type == REDIS_REPLY_INTEGER && reply->integer == value, what);
    freeReplyObject(reply);
}

static void expect_type(redisReply *reply, int type, const char *what)
{
    expect(reply->type == type, what);
    freeReplyObject(reply);
}

static void pipelines(void)
{
    for (int i = 0; i < KEYS; i++) {
        redisAppendCommand(context, "SET hi:%d value-%d", i, i);
        redisAppendCommand(context, "GET hi:%d", i);
    }
    for (int i = 0; i < KEYS; i++) {
        char value[32];
        redisReply *reply;
        int size = snprintf(value, sizeof value, "value-%d", i);
        expect(redisGetReply(context, (void **)&reply) == REDIS_OK, "pipelined SET");
        expect_type(reply, REDIS_REPLY_STATUS, "pipelined SET");
        expect(redisGetReply(context, (void **)&reply) == REDIS_OK, "pipelined GET");
        expect_string(reply, value, (size_t)size, "pipelined GET");
    }
}

static void binary(void)
{
    char *bytes = malloc(BINARY_BYTES);
    for (int i = 0; i < BINARY_BYTES; i++)
        bytes[i] = (char)(i * 31 + i / 256);
    expect_type(CALL("SET %b %b", "k\0\r\n", (size_t)4, bytes, (size_t)BINARY_BYTES),
                REDIS_REPLY_STATUS, "binary SET");
    expect_string(CALL("GET %b", "k\0\r\n", (size_t)4), bytes, BINARY_BYTES, "binary GET");
    free(bytes);
}

static void transactions(void)
{
    expect_type(CALL("MULTI"), REDIS_REPLY_STATUS, "MULTI");
    expect_type(CALL("SET n 1"), REDIS_REPLY_STATUS, "queued SET");
    expect_type(CALL("INCRBY n 41"), REDIS_REPLY_STATUS, "queued INCRBY");
    redisReply *reply = CALL("EXEC");
    expect(reply->type == REDIS_REPLY_ARRAY && reply->elements == 2, "EXEC");
    expect(reply->element[1]->type == REDIS_REPLY_INTEGER && reply->element[1]->integer == 42,
           "EXEC's second result");
    freeReplyObject(reply);
    expect_type(CALL("INCR hi:1"), REDIS_REPLY_ERROR, "INCR of a text");
}

static void times(void)
{
    expect_type(CALL("SET soon v PX 60"), REDIS_REPLY_STATUS, "SET PX");
    expect_type(CALL("SETEX later 100 v"), REDIS_REPLY_STATUS, "SETEX");
    usleep(120000);
    expect_type(CALL("GET soon"), REDIS_REPLY_NIL, "a key outlived its time");
    redisReply *reply = CALL("TTL later");
    expect(reply->integer >= 98 && reply->integer <= 100, "TTL");
    freeReplyObject(reply);
}

static void scans(void)
{
    char cursor[32] = "0";
    int found = 0;
    do {
        redisReply *reply = CALL("SCAN %s MATCH hi:* COUNT 500", cursor);
        expect(reply->type == REDIS_REPLY_ARRAY && reply->elements == 2, "SCAN");
        snprintf(cursor, sizeof cursor, "%s", reply->element[0]->str);
        found += (int)reply->element[1]->elements;
        freeReplyObject(reply);
    } while (strcmp(cursor, "0") != 0);
    expect(found >= KEYS, "SCAN missed keys");
}

int main(int argc, char **argv)
{
    context = redisConnect("127.0.0.1", argc > 1 ? atoi(argv[1]) : 7400);
    expect(context != NULL && context->err == 0, "connect");
    expect_type(CALL("FLUSHALL"), REDIS_REPLY_STATUS, "FLUSHALL");
    pipelines();
    expect_integer(CALL("DBSIZE"), KEYS, "DBSIZE");
    binary();
    transactions();
    times();
    scans();
    expect_type(CALL("FLUSHALL"), REDIS_REPLY_STATUS, "FLUSHALL");
    expect_integer(CALL("DBSIZE"), 0, "DBSIZE after FLUSHALL");
    redisFree(context);
    printf("hiredis %d.%d.%d: well\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
    return 0;
}
