/* CONFIG, over the table of settings (node/config.h). SET runs with all shards held: it changes a
 * clone of the settings and publishes that as a whole, or nothing. */
#include "base/glob.h"
#include "base/map.h"
#include "base/mem.h"
#include "command/admin.h"
#include "command/handlers.h"
#include "command/session_private.h"

/* --- GET --- */

/* Names found so far: each is replied once, however many patterns match it. An alias is a name of
 * its own. */
struct found {
    struct slice name[CONFIG_COUNT], alias[CONFIG_COUNT]; /* as replied; data NULL: not found */
    unsigned count;
};

static void find(struct found *found, struct slice *place, struct slice as)
{
    if (place->data != NULL)
        return;
    *place = as;
    found->count++;
}

static bool has_glob(struct slice pattern)
{
    for (size_t i = 0; i < pattern.len; i++)
        if (pattern.data[i] == '*' || pattern.data[i] == '?' || pattern.data[i] == '[')
            return true;
    return false;
}

static void find_matching(struct slice pattern, struct found *found)
{
    for (unsigned i = 0; i < CONFIG_COUNT; i++) {
        const char *alias = config_alias(i);
        if (glob_match(pattern, slice_str(config_name(i)), true))
            find(found, &found->name[i], slice_str(config_name(i)));
        if (alias != NULL && glob_match(pattern, slice_str(alias), true))
            find(found, &found->alias[i], slice_str(alias));
    }
}

void cmd_config_get(struct call *c)
{
    struct found found = {0};
    for (int i = 2; i < c->argc; i++) {
        struct slice pattern = call_arg(c, i);
        int setting = has_glob(pattern) ? -1 : config_find(pattern);
        if (setting < 0) {
            find_matching(pattern, &found);
            continue;
        }
        /* By name: as it was written. */
        const char *alias = config_alias((unsigned)setting);
        bool by_alias = alias != NULL && glob_match(pattern, slice_str(alias), true);
        find(&found, by_alias ? &found.alias[setting] : &found.name[setting], pattern);
    }
    reply_map(c, found.count);
    for (unsigned i = 0; i < CONFIG_COUNT; i++) {
        char value[CONFIG_VALUE_BYTES_MAX];
        if (found.name[i].data == NULL && found.alias[i].data == NULL)
            continue;
        struct slice text = slice_make(value, config_format(call_settings(c), i, value));
        if (found.name[i].data != NULL) {
            reply_bulk(c, found.name[i]);
            reply_bulk(c, text);
        }
        if (found.alias[i].data != NULL) {
            reply_bulk(c, found.alias[i]);
            reply_bulk(c, text);
        }
    }
}

/* --- SET --- */

static void reply_set_error(struct call *c, int arg, const char *error)
{
    reply_error(c, "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s",
                (int)call_arg(c, arg).len, (const char *)call_arg(c, arg).data, error);
}

/* Puts the pairs into *s. false: the error was replied. */
static bool set_pairs(struct call *c, struct settings *s)
{
    bool seen[CONFIG_COUNT] = {0};
    char error[CONFIG_ERROR_BYTES];
    for (int i = 2; i < c->argc; i += 2) {
        int setting = config_find(call_arg(c, i));
        if (setting < 0) {
            reply_error(c, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                        (int)call_arg(c, i).len, (const char *)call_arg(c, i).data);
            return false;
        }
        if (!config_live((unsigned)setting)) {
            reply_set_error(c, i, "can't set immutable config");
            return false;
        }
        if (seen[setting]) {
            reply_set_error(c, i, "duplicate parameter");
            return false;
        }
        seen[setting] = true;
    }
    for (int i = 2; i < c->argc; i += 2) {
        unsigned setting = (unsigned)config_find(call_arg(c, i));
        if (config_set(s, setting, call_arg(c, i + 1), FROM_COMMAND, error) < 0) {
            reply_set_error(c, i, error);
            return false;
        }
    }
    if (config_check(s, error) < 0) {
        reply_set_error(c, 2, error);
        return false;
    }
    const struct node_hooks *hooks = &c->node->hooks;
    for (int i = 2; hooks->config_check != NULL && i < c->argc; i += 2) {
        unsigned setting = (unsigned)config_find(call_arg(c, i));
        if (hooks->config_check(hooks->ctx, s, setting, error, sizeof(error)) < 0) {
            reply_set_error(c, i, error);
            return false;
        }
    }
    return true;
}

/* The settings are the node's from now on. */
static void publish(struct call *c, struct settings *fresh)
{
    struct settings *old = c->node->settings;
    __atomic_store_n(&c->node->settings, fresh, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < c->node->shards; i++)
        if (call_front(c, i) != NULL)
            call_front(c, i)->settings = fresh;
    if (c->node->hooks.config_changed != NULL)
        c->node->hooks.config_changed(c->node->hooks.ctx);
    struct front_group *group = c->front->group;
    settings_unref(group->retired[group->retired_next]);
    group->retired[group->retired_next] = old;
    group->retired_next = (group->retired_next + 1) % SETTINGS_RETIRED;
}

void cmd_config_set(struct call *c)
{
    if (c->argc % 2 != 0) {
        reply_syntax_error(c);
        return;
    }
    if (node_loading(c->node)) {
        reply_error(c, "LOADING settings can be changed once the log has been replayed");
        return;
    }
    struct settings *fresh = settings_clone(call_settings(c));
    if (!set_pairs(c, fresh)) {
        settings_unref(fresh);
        return;
    }
    publish(c, fresh);
    reply_ok(c);
}

/* --- the rest --- */

void cmd_config_rewrite(struct call *c)
{
    char error[CONFIG_ERROR_BYTES] = "";
    const struct node_hooks *hooks = &c->node->hooks;
    if (call_settings(c)->file == NULL || hooks->config_rewrite == NULL) {
        reply_error(c, "ERR The server is running without a config file");
        return;
    }
    int st = hooks->config_rewrite(hooks->ctx, error, sizeof(error));
    if (st < 0)
        reply_error(c, "ERR Rewriting config file: %s", error[0] != '\0' ? error : status_text(st));
    else
        reply_ok(c);
}

void cmd_config_resetstat(struct call *c)
{
    for (unsigned i = 0; i < c->node->shards; i++) {
        struct front *f = call_front(c, i);
        if (f == NULL)
            continue;
        metrics_reset(&c->node->metrics[i]);
        timing_stats_reset(f);
    }
    reply_ok(c);
}

void cmd_config_help(struct call *c)
{
    reply_help(c);
}
