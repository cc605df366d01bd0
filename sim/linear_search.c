/* Depth-first search for a linearization, after Wing and Gong, "Testing and verifying concurrent
 * objects" (1993), with Lowe's memory of configurations and just-in-time order, "Testing for
 * linearizability" (2017), per key as in Horn and Kroening, "Faster linearizability checking via
 * P-compositionality" (2015), and the list of entries with lift and unlift as in Porcupine
 * (github.com/anishathalye/porcupine, checker.go).
 *
 * Entries are the calls and returns of completed operations in order of time. An operation whose
 * call stands before the first return left may be linearized next: it is lifted, both entries leave
 * the list; going back unlifts it. Nothing left: linearizable. A configuration is (what is
 * linearized, state); one that was met before is not entered again.
 *
 * That alone dies of operations with unknown outcome ("pending"): each may happen at any moment
 * after its call, so n of them make 2^n sets. Hence these rules. For each: if some completion
 * exists from a configuration, then one exists that the search still tries.
 *
 * 1. A legal operation that changes nothing (a read, a refused cas, a delete of nothing) and may be
 *    next is linearized at once, without alternatives. In a completion it can be moved to the
 *    front: what it is moved across does not notice, and nothing had to return before its call.
 *
 * 2. Pending operations happen only in chains directly before a completed operation x that is not
 *    legal without them. Take in a completion the first run R of pending operations before a
 *    completed x, leading from state s to s'. (No x behind it: drop R, nobody sees it.) If x is
 *    legal in s too, then either x changes nothing, and R can move behind x, as what has no return
 *    may always happen later; or x leaves the same state from s as from s' (a write, a delete, a
 *    cas that was done, an increment whose result is known), and R can be dropped. Each such change
 *    drops pending operations or moves them closer to the end, so this ends. A pending read, a
 *    pending cas that is refused and an increment by 0 change nothing and are dropped likewise.
 *
 * 3. From s only such chains are tried as end in a state that x needs, found backwards from it
 *    (chain_to). A write or delete starts a chain, as does any operation that may happen in s: what
 *    came before in R is dropped, and dropping only leaves more operations for later. No state
 *    comes twice in a chain, for the same reason. Increments next to each other commute (sums stay
 *    within 64 bits, LINEAR_DELTA_MAX), so only one order of them is tried. Where x only needs the
 *    state to be another one (a refused cas, a delete of something), one operation is enough: the
 *    rest of R moves behind x or is dropped, by rule 2.
 *
 * 4. Pending operations with the same kind and arguments are a class, and the one called first is
 *    used first: if a completion uses a later one instead, exchanging the two is no harm, as what
 *    was called earlier is available whenever the later one is, for ever.
 *
 * 5. Of completed operations that may be next and do the same (kind, arguments, result), only the
 *    one that returns first is tried: exchanging it with the others in a completion keeps all
 *    orders, as whatever has to follow the later return has to follow the earlier one.
 *
 * 6. In a history without increments all values that no operation expects or returns are one,
 *    JUNK: no operation can tell them apart. So a hundred pending writes that nobody ever read are
 *    one class (rule 4), used only where a refused cas or a delete needs a value to be there. They
 *    can't just be dropped: such an operation may prove that one of them happened.
 *
 * 7. In such a history a value that some remaining operation needs, and none that is left can make,
 *    must not be overwritten: otherwise the configuration is dead. (This finds the order of writes
 *    of unique values almost without search.)
 *
 * Candidates are tried in the order of their returns, the most urgent first. Time and memory are
 * bounded: at a limit the verdict is LINEAR_UNKNOWN. */
#include "sim/linear_search.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "sim/linear_private.h"

#define CHAIN_MAX 1024 /* operations in a chain; it bounds the recursion */

struct linear_search *linear_search_create(const struct linear_limits *limits)
{
    struct linear_search *s = mem_zalloc(sizeof(*s));
    s->limits = *limits;
    s->seen = linear_seen_create(limits->cache_entries_max, limits->cache_bytes_max);
    return s;
}

void linear_search_free(struct linear_search *s)
{
    if (s == NULL)
        return;
    linear_clear(s);
    free(s->best);
    free(s->nodes);
    free(s->choices);
    free(s->chains);
    free(s->candidates);
    buffer_free(&s->key);
    linear_seen_free(s->seen);
    free(s);
}

/* --- the configuration --- */

static void lift(struct linear_search *s, uint32_t at)
{
    struct linear_entry *e = &s->entries[at];
    s->entries[e->prev].next = e->next;
    s->entries[e->next].prev = e->prev;
}

static void unlift(struct linear_search *s, uint32_t at)
{
    struct linear_entry *e = &s->entries[at];
    s->entries[e->prev].next = at;
    s->entries[e->next].prev = at;
}

static void flip(uint64_t *bits, uint32_t at)
{
    bits[at / 64] ^= (uint64_t)1 << at % 64;
}

/* Rule 7: may this state be left for ever? */
static bool may_leave(const struct linear_search *s, int64_t state)
{
    if (s->incr)
        return true;
    size_t at = linear_value_index(state);
    return s->needed[at] == 0 || s->makers[at] > 0;
}

/* Goes to the state that op leaves; false when that is a dead end. */
static bool enter(struct linear_search *s, const struct linear_op *op)
{
    int64_t next = linear_effect(op, s->state);
    bool alive = next == s->state || may_leave(s, s->state);
    s->state = next;
    return alive;
}

/* Counts what an operation needs and makes out of (-1) or back into (+1) what remains. */
static void count_op(struct linear_search *s, const struct linear_op *op, bool pending, int by)
{
    int64_t state;
    if (s->incr)
        return;
    if (!pending && linear_needs_state(op, &state))
        s->needed[linear_value_index(state)] += (uint32_t)by;
    if (linear_makes_state(op, pending, &state))
        s->makers[linear_value_index(state)] += (uint32_t)by;
}

/* Uses the next member of a class, or (-1) gives the last one back. */
static uint32_t count_member(struct linear_search *s, struct linear_class *class, int by)
{
    uint32_t member = s->members[class->first + (by > 0 ? class->used : class->used - 1)];
    class->used += (uint32_t)by;
    flip(s->used, member);
    count_op(s, &class->op, true, -by);
    return s->source[s->done_count + member];
}

/* Linearizes a choice; false when that leads nowhere. Either way it must be undone by revert(). */
static bool apply(struct linear_search *s, const struct linear_choice *choice)
{
    bool alive = true;
    for (uint32_t i = 0; i < choice->chain_len; i++) {
        struct linear_class *class = &s->classes[s->chains[choice->chain + i]];
        s->path[s->path_len++] = count_member(s, class, 1);
        alive &= enter(s, &class->op);
    }
    const struct linear_op *op = &s->ops[choice->op];
    CHECK(linear_legal(op, s->state));
    count_op(s, op, false, -1);
    alive &= enter(s, op);
    lift(s, 2 * choice->op);
    lift(s, 2 * choice->op + 1);
    flip(s->done, choice->op);
    if (choice->op >= s->done_high)
        s->done_high = choice->op + 1;
    s->path[s->path_len++] = s->source[choice->op];
    s->steps += 1 + choice->chain_len;
    return alive;
}

static void revert(struct linear_search *s, const struct linear_node *node,
                   const struct linear_choice *choice)
{
    flip(s->done, choice->op);
    unlift(s, 2 * choice->op + 1);
    unlift(s, 2 * choice->op);
    count_op(s, &s->ops[choice->op], false, 1);
    for (uint32_t i = choice->chain_len; i > 0; i--)
        count_member(s, &s->classes[s->chains[choice->chain + i - 1]], -1);
    s->state = node->state;
    s->done_high = node->done_high;
    s->path_len = node->path_mark;
    if (s->best_same > s->path_len)
        s->best_same = s->path_len;
}

/* Has this configuration been entered before? All operations below the first one left are
 * linearized and none from done_high on, so only the words between say anything. */
static bool entered_before(struct linear_search *s)
{
    uint32_t first = s->entries[linear_head(s)].next / 2; /* the list begins with a call */
    uint32_t words = 0;
    buffer_clear(&s->key);
    buffer_append_u32(&s->key, first);
    if (s->done_high > first)
        words = (s->done_high - 1) / 64 - first / 64 + 1;
    buffer_append_u32(&s->key, words);
    for (uint32_t i = 0; i < words; i++)
        buffer_append_u64(&s->key, s->done[first / 64 + i]);
    buffer_append_u64(&s->key, (uint64_t)s->state);
    uint32_t used_words = s->pending_count / 64 + 1;
    while (used_words > 0 && s->used[used_words - 1] == 0)
        used_words--;
    for (uint32_t i = 0; i < used_words; i++)
        buffer_append_u64(&s->key, s->used[i]);
    int st = linear_seen_add(s->seen, buffer_slice(&s->key));
    if (st == ST_LIMIT)
        s->exhausted = true;
    return st < 0;
}

/* --- the choices --- */

#define GROW(array, count, cap)                                       \
    do {                                                              \
        if ((count) == (cap)) {                                       \
            (cap) = (cap) == 0 ? 64 : 2 * (cap);                      \
            (array) = mem_realloc((array), (cap) * sizeof(*(array))); \
        }                                                             \
    } while (0)

/* A chain while it is built, backwards from what it must lead to. */
struct chain {
    struct linear_search *s;
    uint32_t op;      /* for which it is built */
    uint64_t horizon; /* what was called by then may be used */
    uint32_t len;
    uint32_t classes[CHAIN_MAX];
    int64_t goals[CHAIN_MAX];
};

static void add_choice(struct linear_search *s, uint32_t op, const struct chain *chain)
{
    GROW(s->choices, s->choice_count, s->choice_cap);
    struct linear_choice choice = {.op = op, .chain = (uint32_t)s->chain_count};
    for (uint32_t i = chain == NULL ? 0 : chain->len; i > 0; i--) {
        GROW(s->chains, s->chain_count, s->chain_cap);
        s->chains[s->chain_count++] = chain->classes[i - 1];
        choice.chain_len++;
    }
    s->choices[s->choice_count++] = choice;
}

/* Is a member of the class left that was called by the horizon? */
static bool available(const struct linear_search *s, const struct linear_class *class,
                      uint64_t horizon)
{
    return class->used < class->count &&
           s->ops[s->done_count + s->members[class->first + class->used]].call <= horizon;
}

static int64_t as_number(int64_t state)
{
    return state == LINEAR_ABSENT ? 0 : state;
}

static void chain_to(struct chain *c, int64_t goal);

/* Puts a class before the chain; done when it may happen in the state that is there, else goes on
 * backwards to the state it needs. */
static void chain_through(struct chain *c, uint32_t class, bool anywhere, int64_t need)
{
    struct linear_search *s = c->s;
    for (uint32_t i = 0; i < c->len; i++)
        if (!anywhere && c->goals[i] == need)
            return; /* rule 3: a state twice */
    c->classes[c->len++] = class;
    s->classes[class].used++;
    if (anywhere || need == s->state)
        add_choice(s, c->op, c);
    else
        chain_to(c, need);
    s->classes[class].used--;
    c->len--;
}

static void chain_incr(struct chain *c, uint32_t class, int64_t goal)
{
    struct linear_search *s = c->s;
    int64_t delta = s->classes[class].op.arg;
    bool follows = c->len > 0 && s->classes[c->classes[c->len - 1]].op.kind == LINEAR_INCR;
    if (goal == LINEAR_ABSENT || delta == 0 || (follows && c->classes[c->len - 1] < class))
        return; /* the one order of rule 3 */
    chain_through(c, class, false, goal - delta);
    if (goal == delta)
        chain_through(c, class, false, LINEAR_ABSENT);
}

/* The first class that leaves this state or one behind it in the order of states. */
static uint32_t class_leaving(const struct linear_search *s, int64_t state)
{
    uint32_t low = 0, high = s->incr_first;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->classes[middle].op.arg < state)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* All chains of pending operations from the present state to `goal`, each followed by what is in
 * the chain already (rule 3). */
static void chain_to(struct chain *c, int64_t goal)
{
    struct linear_search *s = c->s;
    if (c->len == CHAIN_MAX || s->steps >= s->limits.steps_max) {
        s->exhausted = true;
        return;
    }
    c->goals[c->len] = goal;
    s->steps++;
    for (uint32_t i = class_leaving(s, goal); i < s->incr_first && !s->exhausted; i++) {
        const struct linear_op *op = &s->classes[i].op;
        if (op->arg != goal)
            break;
        if (!available(s, &s->classes[i], c->horizon))
            continue;
        if (op->kind != LINEAR_CAS)
            chain_through(c, i, true, 0);
        else if (op->expected != goal)
            chain_through(c, i, false, op->expected);
    }
    for (uint32_t i = s->incr_first; i < s->class_count && !s->exhausted; i++) {
        s->steps++;
        if (available(s, &s->classes[i], c->horizon))
            chain_incr(c, i, goal);
    }
}

/* Can increments alone bridge the way, if increments are all there is? Spares the search backwards
 * where it could only fail. */
static bool reachable(const struct linear_search *s, int64_t goal, uint64_t horizon)
{
    int64_t up = 0, down = 0;
    if (!s->incr)
        return true;
    for (uint32_t i = 0; i < s->class_count; i++) {
        const struct linear_class *class = &s->classes[i];
        if (!available(s, class, horizon))
            continue;
        if (class->op.kind != LINEAR_INCR)
            return true;
        *(class->op.arg > 0 ? &up : &down) += class->op.arg * (class->count - class->used);
    }
    int64_t way = as_number(goal) - as_number(s->state);
    return goal != LINEAR_ABSENT && way <= up && way >= down;
}

/* The ways to make a completed operation legal that is not. */
static void add_chains(struct linear_search *s, uint32_t at, uint64_t horizon)
{
    const struct linear_op *op = &s->ops[at];
    struct chain c = {.s = s, .op = at, .horizon = horizon};
    int64_t goal;
    if (linear_needs_state(op, &goal)) {
        if (reachable(s, goal, horizon))
            chain_to(&c, goal);
    } else if (op->kind == LINEAR_INCR) {
        goal = op->result - op->arg;
        if (reachable(s, goal, horizon))
            chain_to(&c, goal);
        if (goal == 0)
            chain_to(&c, LINEAR_ABSENT);
    } else { /* any other state will do, and one operation leads to it (rule 3) */
        c.len = 1;
        c.classes[0] = 0;
        add_choice(s, at, &c);
        s->choices[s->choice_count - 1].any = 1;
    }
}

/* The next class for a choice that takes any; false when there is none left. */
static bool next_class(struct linear_search *s, struct linear_choice *choice, uint64_t horizon)
{
    for (uint32_t i = choice->any - 1; i < s->class_count; i++) {
        const struct linear_class *class = &s->classes[i];
        if (!available(s, class, horizon) || linear_effect(&class->op, s->state) == s->state)
            continue;
        s->chains[choice->chain] = i;
        choice->any = i + 2;
        return true;
    }
    return false;
}

/* What to try next in a configuration, NULL when all was tried. */
static const struct linear_choice *next_choice(struct linear_search *s, struct linear_node *node)
{
    while (node->choice_next < node->choice_end) {
        struct linear_choice *choice = &s->choices[node->choice_next];
        node->taken = node->choice_next;
        if (choice->any == 0) {
            node->choice_next++;
            return choice;
        }
        if (next_class(s, choice, node->horizon))
            return choice;
        node->choice_next++;
    }
    return NULL;
}

static bool same_outcome(const struct linear_op *x, const struct linear_op *y)
{
    return linear_same_deed(x, y) && (x->result == y->result || x->kind == LINEAR_WRITE);
}

/* Adds an operation to the candidates, which are in the order of their returns, unless one of
 * them does the same and returns earlier (rule 5). */
static void add_candidate(struct linear_search *s, uint32_t op)
{
    GROW(s->candidates, s->candidate_count, s->candidate_cap);
    uint32_t *list = s->candidates;
    size_t at = 0;
    while (at < s->candidate_count && s->ops[list[at]].ret <= s->ops[op].ret)
        if (same_outcome(&s->ops[list[at++]], &s->ops[op]))
            return;
    memmove(list + at + 1, list + at, (s->candidate_count - at) * sizeof(*list));
    list[at] = op;
    s->candidate_count++;
}

/* Changes nothing wherever it is legal (rule 1). */
static bool pure(const struct linear_op *op)
{
    return op->kind == LINEAR_READ ||
           (op->result == 0 && (op->kind == LINEAR_CAS || op->kind == LINEAR_DELETE));
}

/* All ways on from the present configuration; returns its horizon. */
static uint64_t add_choices(struct linear_search *s)
{
    uint64_t horizon = LINEAR_NEVER;
    s->candidate_count = 0;
    for (uint32_t at = s->entries[linear_head(s)].next; at != linear_head(s);
         at = s->entries[at].next) {
        if (at & 1) { /* the first return left: what was called later can't be next */
            horizon = s->entries[at].time;
            break;
        }
        if (pure(&s->ops[at / 2]) && linear_legal(&s->ops[at / 2], s->state)) {
            add_choice(s, at / 2, NULL);
            return horizon;
        }
        add_candidate(s, at / 2);
    }
    for (size_t i = 0; i < s->candidate_count && !s->exhausted; i++) {
        if (linear_legal(&s->ops[s->candidates[i]], s->state))
            add_choice(s, s->candidates[i], NULL);
        else
            add_chains(s, s->candidates[i], horizon);
    }
    return horizon;
}

/* --- the search --- */

static void push_node(struct linear_search *s)
{
    GROW(s->nodes, s->node_count, s->node_cap);
    struct linear_node *node = &s->nodes[s->node_count++];
    *node = (struct linear_node){.choice_first = (uint32_t)s->choice_count,
                                 .choice_next = (uint32_t)s->choice_count,
                                 .chain_mark = (uint32_t)s->chain_count,
                                 .path_mark = (uint32_t)s->path_len,
                                 .done_high = s->done_high,
                                 .state = s->state};
    node->horizon = add_choices(s);
    node->choice_end = (uint32_t)s->choice_count;
}

/* The present path, with so many completed operations, is a dead end; kept when it is the longest.
 * Only what has changed since the last time is copied. */
static void keep_best(struct linear_search *s, size_t done)
{
    if (done <= s->best_done)
        return;
    memcpy(s->best + s->best_same, s->path + s->best_same,
           (s->path_len - s->best_same) * sizeof(*s->path));
    s->best_done = done;
    s->best_len = s->best_same = s->path_len;
}

/* Gives up the last node; false when that was the first. */
static bool pop_node(struct linear_search *s)
{
    keep_best(s, s->node_count - 1);
    struct linear_node *node = &s->nodes[--s->node_count];
    s->choice_count = node->choice_first;
    s->chain_count = node->chain_mark;
    if (s->node_count == 0)
        return false;
    node--;
    revert(s, node, &s->choices[node->taken]);
    return true;
}

enum linear_verdict linear_search_run(struct linear_search *s, const struct linear_op *const *ops,
                                      size_t count, uint64_t until)
{
    CHECK(count <= LINEAR_OPS_MAX);
    linear_prepare(s, ops, count, until);
    for (size_t i = 0; i < s->value_count; i++)
        if (!may_leave(s, 1 + (int64_t)i))
            return LINEAR_VIOLATION; /* somebody saw a value that nobody wrote */
    push_node(s);
    while (!s->exhausted && s->entries[linear_head(s)].next != linear_head(s)) {
        struct linear_node *node = &s->nodes[s->node_count - 1];
        if (s->steps >= s->limits.steps_max) {
            s->exhausted = true;
            continue;
        }
        const struct linear_choice *choice = next_choice(s, node);
        if (choice == NULL) {
            if (!pop_node(s))
                return LINEAR_VIOLATION;
            continue;
        }
        bool alive = apply(s, choice);
        if (!alive)
            keep_best(s, s->node_count);
        if (alive && !entered_before(s))
            push_node(s);
        else
            revert(s, node, choice);
    }
    return s->exhausted ? LINEAR_UNKNOWN : LINEAR_OK;
}

size_t linear_search_best(const struct linear_search *s, const uint32_t **ret_positions)
{
    *ret_positions = s->best;
    return s->best_len;
}

uint64_t linear_search_steps(const struct linear_search *s)
{
    return s->steps;
}
