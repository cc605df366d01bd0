#include "wire/refusal.h"

#include "base/check.h"

const char *wire_refusal_name(enum wire_refusal refusal)
{
    static const char *const names[] = {
#define X(NAME, text) [WIRE_REFUSED_##NAME] = text,
        WIRE_REFUSAL_TABLE(X)
#undef X
    };
    CHECK(refusal < WIRE_REFUSALS);
    return names[refusal];
}
