// tollway_tariff.h: tariffs in C, for the billing engine Tollway. One file, no libc.
//
// A tariff is three functions and a table:
//
//     #include "tollway_tariff.h"
//
//     typedef struct { tw_decimal price; tw_line usage; } simple;
//
//     static void configure(tw_config *c, void *self) {          // once per set of parameters
//         simple *t = self;
//         t->price = tw_param_decimal(c->params, "unit_price");
//         t->usage = tw_line_claim(c, "usage", "Usage");
//     }
//
//     static tw_error event(void *self, tw_slot *s, const tw_event *e) {     // for each event
//         simple *t = self;
//         tw_decimal units, amount;
//         TW_TRY(tw_add(tw_line_quantity(s, t->usage), e->quantity, &units));
//         TW_TRY(tw_mul(units, t->price, TW_EXACT, &amount));
//         tw_line_set(s, t->usage, units, amount);
//         return TW_OK;
//     }
//
//     static const tw_tariff tariffs[] = {{"simple", sizeof(simple), configure, event, 0}};
//     TW_MODULE(tariffs)
//
// An event may return an error at any point: what it wrote to lines and cells is undone, and the event becomes a
// dead letter. Lines are complete: the slot's period so far, not what one event adds. What an event does may depend
// on the slot, the event and the parameters alone; keep nothing in variables of your own, for memory is put back
// before every batch.
//
// The sections: 1 numbers, 2 parameters and claims, 3 slots and events, 4 prices by tiers; then what is not for
// authors: 5 text and memory, 6 arithmetic, 7 JSON, 8 the engine's side.
#ifndef TOLLWAY_TARIFF_H
#define TOLLWAY_TARIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TW_SDK "tollway-c/1.0"
#define TW_INLINE static inline __attribute__((unused))
#define TW_ALWAYS static inline __attribute__((unused, always_inline))
#define TW_SLOW static __attribute__((unused, noinline))
#define TW_CHECKED __attribute__((warn_unused_result))

// ---------------------------------------------------------------------------------------------------------------
// 1 Numbers

// What can go wrong with a number, and with an event. The first five reject an event with a reason of their own.
typedef enum {
    TW_OK = 0,
    TW_OVERFLOW,         // the result lies outside the range: reason overflow
    TW_DIVISION_BY_ZERO, // reason division_by_zero
    TW_INEXACT,          // mode none, and the result has more than 18 decimal places: reason inexact
    TW_INVALID_ROUNDING, // a scale that is not -20 to 18, or an unknown mode: reason tariff_error
    TW_REJECTED,         // what tw_reject returned
    TW_SYNTAX,           // of a text: not a number
    TW_TOO_PRECISE,      // of a text: a digit other than 0 behind the 18th decimal place
} tw_error;

// Returns from an event when an operation fails.
#define TW_TRY(operation)                       \
    do {                                        \
        tw_error tw_failed_ = (operation);      \
        if (tw_failed_ != TW_OK)                \
            return tw_failed_;                  \
    } while (0)

// A number: 128 bits, two's complement, counted in units of 10^-18. It reaches from about -1.7e20 to 1.7e20 and
// never loses a digit inside that range. Quantities and amounts are such numbers. {0} is 0.
typedef struct {
    uint64_t lo;
    int64_t hi;
} tw_decimal;

typedef enum { TW_NONE = 0, TW_HALF_UP, TW_HALF_EVEN, TW_FLOOR, TW_CEILING } tw_mode;

// A rounding: how many decimal places are kept (-20 to 18) and which way. half_up takes ties away from zero. Mode
// none keeps 18 and refuses results that have more.
typedef struct {
    int32_t scale;
    tw_mode mode;
} tw_rounding;

// The rounding of results that no parameter rounds: to the 18 decimal places there are, ties away from zero.
#define TW_EXACT ((tw_rounding){18, TW_HALF_UP})
#define TW_ZERO ((tw_decimal){0, 0})
#define TW_ONE ((tw_decimal){1000000000000000000ull, 0})
#define TW_LARGEST ((tw_decimal){UINT64_MAX, INT64_MAX})

// Text of a known length; not ended by a 0. It lives as long as the call, unless a function says otherwise.
typedef struct {
    const char *at;
    uint32_t length;
} tw_text;

// Longest text of a number: a sign, 21 digits, a point, 18 digits.
#define TW_DECIMAL_TEXT_MAX 41

TW_INLINE tw_decimal tw_decimal_of(int64_t n);
// Reads "12", "-0.5", "1.25e-3"; nothing else, above all no plus sign, space or bare point. The value is exact, or
// the error TW_SYNTAX, TW_TOO_PRECISE or TW_OVERFLOW.
TW_SLOW TW_CHECKED tw_error tw_parse(tw_text text, tw_decimal *out);
// Writes the text with at least scale decimal places (0: the shortest) and returns its length. Places that count are
// never dropped. The buffer holds TW_DECIMAL_TEXT_MAX bytes.
TW_SLOW uint32_t tw_format(tw_decimal d, int32_t scale, char *buffer);

TW_INLINE int tw_compare(tw_decimal a, tw_decimal b); // -1, 0 or 1
TW_INLINE int tw_sign(tw_decimal d);                  // -1, 0 or 1
TW_INLINE bool tw_is_zero(tw_decimal d) { return (d.lo | (uint64_t)d.hi) == 0; }
TW_INLINE bool tw_less(tw_decimal a, tw_decimal b) { return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo); }

// Each writes its result to out, unless it returns an error. Products and quotients are rounded once, from the exact
// result.
TW_INLINE TW_CHECKED tw_error tw_add(tw_decimal a, tw_decimal b, tw_decimal *out);
TW_INLINE TW_CHECKED tw_error tw_sub(tw_decimal a, tw_decimal b, tw_decimal *out);
TW_INLINE TW_CHECKED tw_error tw_neg(tw_decimal d, tw_decimal *out);
TW_INLINE TW_CHECKED tw_error tw_abs(tw_decimal d, tw_decimal *out);
TW_SLOW TW_CHECKED tw_error tw_mul(tw_decimal a, tw_decimal b, tw_rounding r, tw_decimal *out);
TW_SLOW TW_CHECKED tw_error tw_quo(tw_decimal a, tw_decimal b, tw_rounding r, tw_decimal *out);
TW_SLOW TW_CHECKED tw_error tw_round(tw_decimal d, tw_rounding r, tw_decimal *out); // mode none leaves d as it is

// An exact sum of products, in 256 bits and units of 10^-36, to be rounded once. {0} is 0.
typedef struct {
    uint64_t w0, w1, w2, w3; // the least significant word first
} tw_sum;

TW_INLINE tw_sum tw_product(tw_decimal a, tw_decimal b);
TW_SLOW TW_CHECKED tw_error tw_sum_add(tw_sum a, tw_sum b, tw_sum *out);
TW_SLOW TW_CHECKED tw_error tw_sum_sub(tw_sum a, tw_sum b, tw_sum *out);
// s / n, rounded once. n is a count, such as the days of a period; not above 0 it is TW_DIVISION_BY_ZERO.
TW_SLOW TW_CHECKED tw_error tw_sum_quo(tw_sum s, int64_t n, tw_rounding r, tw_decimal *out);
// a * b / n, rounded once.
TW_INLINE TW_CHECKED tw_error tw_mul_quo(tw_decimal a, tw_decimal b, int64_t n, tw_rounding r, tw_decimal *out) {
    return tw_sum_quo(tw_product(a, b), n, r, out);
}

// ---------------------------------------------------------------------------------------------------------------
// 2 Parameters and claims, in configure only

typedef struct tw_config tw_config;

// An object of parameters. A reader notes what is missing, malformed or unknown with its path and gives a usable
// value in any case; after configure the engine gets all problems at once. So configure needs no error handling.
// Numbers are decimal strings ("0.002"); JSON numbers are taken too, by their text. An optional parameter may be
// absent or null.
typedef struct {
    tw_config *config;
    int32_t node; // of the document; -1: missing, which has been noted
} tw_params;

// A list of objects, or an object whose keys are the catalog's own and whose values are objects.
typedef struct {
    tw_params of;
    int32_t next;
    uint32_t count;
} tw_list;

struct tw_config {
    tw_params params;
    tw_text currency; // ISO 4217; lives as long as the configuration
    // What follows is the SDK's.
    uint32_t lines, cells, carried_count, dimension_count, problem_count;
    const struct tw_graduated *all;
    uint32_t *carried;
    tw_text *dimensions;
};

TW_SLOW tw_decimal tw_param_decimal(tw_params p, const char *name);
TW_SLOW bool tw_param_optional_decimal(tw_params p, const char *name, tw_decimal *out); // false, and 0: absent
TW_SLOW int64_t tw_param_int(tw_params p, const char *name, int64_t least, int64_t most);
TW_SLOW int64_t tw_param_int_or(tw_params p, const char *name, int64_t least, int64_t most, int64_t absent);
TW_SLOW bool tw_param_bool_or(tw_params p, const char *name, bool absent);
TW_SLOW tw_text tw_param_text(tw_params p, const char *name);          // not empty; lives as long as the configuration
TW_SLOW tw_text tw_param_optional_text(tw_params p, const char *name); // empty: absent
// The place of a word in a list of words that ends with a 0; -1 when it is none of them, which has been noted.
TW_SLOW int tw_param_choice(tw_params p, const char *name, const char *const *words);
TW_SLOW int tw_param_choice_or(tw_params p, const char *name, const char *const *words, int absent);
// {"scale": 2, "mode": "half_up"}; absent, null and mode none give TW_EXACT.
TW_SLOW tw_rounding tw_param_rounding(tw_params p, const char *name);
TW_SLOW tw_params tw_param_object(tw_params p, const char *name);
TW_SLOW bool tw_param_optional_object(tw_params p, const char *name, tw_params *out);
TW_SLOW tw_list tw_param_list(tw_params p, const char *name);          // of objects, at least one
TW_SLOW tw_list tw_param_map(tw_params p, const char *name);           // of objects, by keys of the catalog's own
TW_SLOW bool tw_list_next(tw_list *list, tw_params *entry);            // false at the end
TW_SLOW tw_text tw_param_key(tw_params entry);                         // of an entry of a map; lives as long as the configuration
TW_SLOW bool tw_param_present(tw_params p, const char *name);          // there, and not null; does not read it
// Notes a problem with a parameter; the message says what would be right: "must be greater than 0".
TW_SLOW void tw_param_fail(tw_params p, const char *name, const char *message);

// Memory that lives as long as the configuration, zero. Traps when there is no more.
TW_SLOW void *tw_alloc(size_t size);

// Claims a line item. The id is [a-z][a-z0-9_]{0,62} and unique, the description at most 200 bytes for an invoice.
typedef struct {
    uint32_t index;
} tw_line;
TW_SLOW tw_line tw_line_claim(tw_config *c, const char *id, const char *description);

// Claims a number of a slot that begins at 0 with each billing period, or with what the period before ended with.
typedef struct {
    uint32_t index;
} tw_cell;
TW_SLOW tw_cell tw_state_claim(tw_config *c);
TW_SLOW tw_cell tw_carry_claim(tw_config *c);

// Claims a dimension of the meter: events then bring its value. Claimed twice it is the same.
typedef struct {
    uint32_t index;
} tw_dimension;
TW_SLOW tw_dimension tw_dimension_claim(tw_config *c, tw_text name);
TW_INLINE tw_text tw_text_of(const char *s);
TW_INLINE bool tw_text_equal(tw_text a, tw_text b);

// ---------------------------------------------------------------------------------------------------------------
// 3 Slots and events, in event and close

// One usage event. Times are unix nanoseconds.
typedef struct {
    uint32_t slot, flags;
    int64_t time;
    tw_decimal quantity; // units used; a correction's are negative
    tw_decimal amount;   // money that the event itself carries: see tw_has_amount
    uint32_t values[];   // for tw_value
} tw_event;

TW_INLINE bool tw_has_amount(const tw_event *e) { return e->flags & 1; }
// The event's value of a dimension, empty when it has none.
TW_INLINE tw_text tw_value(const tw_event *e, tw_dimension d);

// What is priced together: one subscription, tariff version, billing period and group. Times are unix nanoseconds.
typedef struct {
    int64_t period_start, period_end;   // the end is excluded
    int64_t active_from, active_until;  // of the subscription, in this period and tariff version
    // What follows is the SDK's.
    uint32_t handle, flags, lines, line_off, state_off, state_len, state_cap, state_need;
    uint32_t carry_in_off, carry_in_len, carry_out_off, carry_out_len, carry_out_cap, reserved[3];
} tw_slot;

TW_ALWAYS tw_decimal tw_line_quantity(tw_slot *s, tw_line l);
TW_ALWAYS tw_decimal tw_line_amount(tw_slot *s, tw_line l);
TW_ALWAYS void tw_line_set(tw_slot *s, tw_line l, tw_decimal quantity, tw_decimal amount);
TW_ALWAYS tw_decimal tw_cell_get(tw_slot *s, tw_cell c);
TW_ALWAYS void tw_cell_set(tw_slot *s, tw_cell c, tw_decimal v);
// A whole number in a cell, such as a count or an instant.
TW_INLINE int64_t tw_cell_int(tw_slot *s, tw_cell c) { return (int64_t)tw_cell_get(s, c).lo; }
TW_INLINE void tw_cell_set_int(tw_slot *s, tw_cell c, int64_t n) { tw_cell_set(s, c, (tw_decimal){(uint64_t)n, 0}); }
// An exact sum takes two cells that were claimed one after the other; the first is given.
TW_INLINE tw_sum tw_cell_sum(tw_slot *s, tw_cell c);
TW_INLINE void tw_cell_set_sum(tw_slot *s, tw_cell c, tw_sum v);

// Rejects the event: return tw_reject("no_price", "..."). The reason is [a-z][a-z0-9_]{0,62}, for machines; the
// detail, best at most 120 bytes, is for people.
TW_SLOW tw_error tw_reject(const char *reason, tw_text detail);

// A way of pricing. event brings the slot up to date with one event; close, which may be 0, does what falls due when
// a period ends, and is called for slots without events as well. An error of close stops the closing of the period.
typedef struct {
    const char *name; // what a catalog calls it, [a-z][a-z0-9_]{0,62}
    size_t size;      // of self: memory of the configuration, zero at first
    void (*configure)(tw_config *c, void *self);
    tw_error (*event)(void *self, tw_slot *s, const tw_event *e);
    tw_error (*close)(void *self, tw_slot *s);
} tw_tariff;

// TW_MODULE(tariffs) makes the exports of the module; it stands once, behind the table. The names and titles of the
// tariffs and the JSON Schemas of their parameters stand in manifest.json beside the source, and
// `tollway plugin build` appends them.

// ---------------------------------------------------------------------------------------------------------------
// 4 Prices by tiers

// A range of units with a price: above the end of the tier before, up to and including up_to.
typedef struct {
    tw_decimal up_to;  // of the last tier it means nothing: that one is open
    tw_decimal price;  // of a unit
    tw_decimal fee;    // due once, when the tier is entered; that of the first tier always
    // What follows tw_graduated_claim fills in.
    tw_decimal above, rounded_fee;
    tw_line usage, flat;
    bool open, has_fee;
} tw_tier;

typedef struct {
    tw_tier *list;
    uint32_t count;
} tw_tiers;

// Reads the parameter `tiers`, a list of {up_to, unit_price, flat_fee}, the last of them open.
TW_SLOW tw_tiers tw_param_tiers(tw_params p);

// Each part of the units has its tier's price, on lines tier_1, tier_1_flat_fee (where there is one), tier_2 ...,
// each rounded.
typedef struct tw_graduated {
    tw_tiers tiers;
    tw_rounding rounding;
    tw_cell units;
} tw_graduated;

TW_SLOW void tw_graduated_claim(tw_config *c, tw_graduated *g, tw_tiers tiers, tw_rounding r);
TW_INLINE TW_CHECKED tw_error tw_graduated_add(const tw_graduated *g, tw_slot *s, tw_decimal units);
// Says that event does nothing but tw_graduated_add of the event's quantity. Stretches of such events are then priced in
// one loop, which comes to the same.
TW_SLOW void tw_graduated_is_all(tw_config *c, const tw_graduated *g);
TW_SLOW TW_CHECKED tw_error tw_graduated_close(const tw_graduated *g, tw_slot *s); // the first fee, without usage
// What so many units cost, exact: for other bills than one by lines.
TW_SLOW TW_CHECKED tw_error tw_graduated_cost(tw_tiers tiers, tw_decimal units, tw_sum *out);

// units * price, rounded once: tw_mul, and quick where both are plain.
TW_INLINE TW_CHECKED tw_error tw_multiply(tw_decimal units, tw_decimal price, tw_rounding r, tw_decimal *out);

// ===============================================================================================================
// 5 Text and memory

TW_INLINE tw_text tw_text_of(const char *s) {
    tw_text t = {s, 0};
    while (s[t.length])
        t.length++;
    return t;
}

TW_INLINE bool tw_text_equal(tw_text a, tw_text b) {
    if (a.length != b.length)
        return false;
    for (uint32_t i = 0; i < a.length; i++)
        if (a.at[i] != b.at[i])
            return false;
    return true;
}

TW_INLINE void tw__copy(void *to, const void *from, size_t n) { __builtin_memmove(to, from, n); }

// Memory is handed out and never taken back: what a batch takes, the engine's snapshot gives back.
#ifdef __wasm__
extern unsigned char __heap_base;
static uintptr_t tw__heap;
TW_SLOW void *tw_alloc(size_t size) {
    if (tw__heap == 0)
        tw__heap = (uintptr_t)&__heap_base;
    uintptr_t at = (tw__heap + 15) & ~(uintptr_t)15;
    uintptr_t end = at + size, have = __builtin_wasm_memory_size(0) << 16;
    if (end < at)
        __builtin_trap();
    if (end > have && __builtin_wasm_memory_grow(0, (end - have + 65535) >> 16) == (size_t)-1)
        __builtin_trap();
    tw__heap = end;
    __builtin_memset((void *)at, 0, size); // what the snapshot put back is zero, but a batch may have been before
    return (void *)at;
}

// Makes room for what a batch takes, so that none has to grow the memory: the first to do so would work more than
// those after it.
TW_SLOW void tw__make_room(void) {
    uintptr_t heap = tw__heap;
    tw_alloc(1 << 17);
    tw__heap = heap;
}
#else // for tests of one's own arithmetic on this machine
static _Alignas(16) unsigned char tw__room[1 << 22];
static size_t tw__heap;
TW_SLOW void *tw_alloc(size_t size) {
    size_t at = (tw__heap + 15) & ~(size_t)15;
    if (size > sizeof tw__room - at)
        __builtin_trap();
    tw__heap = at + size;
    return tw__room + at;
}
TW_INLINE void tw__make_room(void) {}
#endif

TW_SLOW tw_text tw__keep(tw_text t) {
    char *at = tw_alloc(t.length);
    tw__copy(at, t.at, t.length);
    return (tw_text){at, t.length};
}

// The length of the UTF-8 sequence at s, 0 where there is none.
TW_SLOW uint32_t tw__rune(const unsigned char *s, uint32_t left) {
    uint32_t c = s[0], n = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    if (n > left)
        return 0;
    for (uint32_t i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    if ((c == 0xE0 && s[1] < 0xA0) || (c == 0xED && s[1] > 0x9F) || (c == 0xF0 && s[1] < 0x90) || (c == 0xF4 && s[1] > 0x8F))
        return 0;
    return n;
}

// Text that is put together, cut at its limit but not inside a character.
typedef struct {
    char *at;
    uint32_t length, limit;
    bool full;
} tw__buffer;

TW_SLOW void tw__put(tw__buffer *b, tw_text t) {
    for (uint32_t i = 0; i < t.length && !b->full;) {
        uint32_t n = tw__rune((const unsigned char *)t.at + i, t.length - i);
        const char *from = n ? t.at + i : "\xEF\xBF\xBD"; // what is no character becomes U+FFFD
        uint32_t size = n ? n : 3;
        if (b->length + size > b->limit) {
            b->full = true;
            return;
        }
        for (uint32_t k = 0; k < size; k++)
            b->at[b->length++] = from[k];
        i += n ? n : 1;
    }
}

TW_INLINE void tw__puts(tw__buffer *b, const char *s) { tw__put(b, tw_text_of(s)); }

TW_SLOW void tw__put_number(tw__buffer *b, int64_t n) {
    char digits[20];
    uint32_t at = sizeof digits;
    uint64_t left = n < 0 ? -(uint64_t)n : (uint64_t)n;
    do
        digits[--at] = (char)('0' + left % 10);
    while (left /= 10);
    if (n < 0)
        tw__puts(b, "-");
    tw__put(b, (tw_text){digits + at, (uint32_t)sizeof digits - at});
}

TW_SLOW void tw__put_quoted(tw__buffer *b, tw_text t) {
    static const char hex[] = "0123456789abcdef";
    tw__puts(b, "\"");
    for (uint32_t i = 0, from = 0; i <= t.length; i++) {
        unsigned char c = i < t.length ? (unsigned char)t.at[i] : 0;
        bool plain = i < t.length && c >= ' ' && c != '"' && c != '\\';
        if (plain)
            continue;
        tw__put(b, (tw_text){t.at + from, i - from});
        from = i + 1;
        if (i == t.length)
            break;
        char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        if (c == '"' || c == '\\') {
            escape[1] = (char)c;
            tw__put(b, (tw_text){escape, 2});
        } else
            tw__put(b, (tw_text){escape, 6});
    }
    tw__puts(b, "\"");
}

// ===============================================================================================================
// 6 Arithmetic, word by word: WebAssembly has no product of 128 bits, and a compiler's own is called

#define TW__UNIT 1000000000000000000ull

TW_INLINE uint64_t tw__high(uint64_t x, uint64_t y) {
    uint64_t x0 = (uint32_t)x, x1 = x >> 32, y0 = (uint32_t)y, y1 = y >> 32;
    uint64_t middle = x1 * y0 + (x0 * y0 >> 32);
    return x1 * y1 + (middle >> 32) + (((uint32_t)middle + x0 * y1) >> 32);
}

TW_INLINE uint64_t tw__plus(uint64_t a, uint64_t b, uint64_t *carry) {
    uint64_t t = a + b, sum = t + *carry;
    *carry = (uint64_t)(t < a) | (uint64_t)(sum < t);
    return sum;
}

TW_INLINE uint64_t tw__minus(uint64_t a, uint64_t b, uint64_t *borrow) {
    uint64_t t = a - b, difference = t - *borrow;
    *borrow = (uint64_t)(a < b) | (uint64_t)(t < *borrow);
    return difference;
}

TW_INLINE tw_decimal tw__opposite(tw_decimal d) {
    return (tw_decimal){-d.lo, (int64_t)(~(uint64_t)d.hi + (d.lo == 0))};
}

// The 128 bits of |d|.
TW_INLINE tw_sum tw__magnitude(tw_decimal d) {
    if (d.hi < 0)
        d = tw__opposite(d);
    return (tw_sum){d.lo, (uint64_t)d.hi, 0, 0};
}

TW_INLINE tw_error tw__signed(bool negative, uint64_t hi, uint64_t lo, tw_decimal *out) {
    if (hi >> 63 && (!negative || hi > 1ull << 63 || lo != 0))
        return TW_OVERFLOW;
    tw_decimal d = {lo, (int64_t)hi};
    *out = negative ? tw__opposite(d) : d;
    return TW_OK;
}

TW_INLINE tw_decimal tw_decimal_of(int64_t n) {
    uint64_t m = n < 0 ? -(uint64_t)n : (uint64_t)n;
    tw_decimal d = {m * TW__UNIT, (int64_t)tw__high(m, TW__UNIT)};
    return n < 0 ? tw__opposite(d) : d;
}

TW_INLINE int tw_compare(tw_decimal a, tw_decimal b) { return tw_less(a, b) ? -1 : tw_less(b, a); }
TW_INLINE int tw_sign(tw_decimal d) { return d.hi < 0 ? -1 : (d.lo | (uint64_t)d.hi) != 0; }

TW_INLINE tw_error tw_add(tw_decimal a, tw_decimal b, tw_decimal *out) {
    uint64_t lo = a.lo + b.lo, hi = (uint64_t)a.hi + (uint64_t)b.hi + (lo < a.lo);
    // Two numbers of one sign cannot have a sum of the other.
    if ((((uint64_t)a.hi ^ hi) & ((uint64_t)b.hi ^ hi)) >> 63)
        return TW_OVERFLOW;
    *out = (tw_decimal){lo, (int64_t)hi};
    return TW_OK;
}

TW_INLINE tw_error tw_sub(tw_decimal a, tw_decimal b, tw_decimal *out) {
    uint64_t lo = a.lo - b.lo, hi = (uint64_t)a.hi - (uint64_t)b.hi - (a.lo < b.lo);
    if ((((uint64_t)a.hi ^ (uint64_t)b.hi) & ((uint64_t)a.hi ^ hi)) >> 63)
        return TW_OVERFLOW;
    *out = (tw_decimal){lo, (int64_t)hi};
    return TW_OK;
}

TW_INLINE tw_error tw_neg(tw_decimal d, tw_decimal *out) {
    if (d.hi == INT64_MIN && d.lo == 0)
        return TW_OVERFLOW;
    *out = tw__opposite(d);
    return TW_OK;
}

TW_INLINE tw_error tw_abs(tw_decimal d, tw_decimal *out) {
    if (d.hi < 0)
        return tw_neg(d, out);
    *out = d;
    return TW_OK;
}

// What is known of the digits that a division dropped: all that rounding needs.
typedef enum { TW__NOTHING = 0, TW__LESS, TW__HALF, TW__MORE } tw__rest;

// The rest of dropping the digits `remainder` out of `modulus` before those of which `low` is the rest.
TW_INLINE tw__rest tw__behind(tw__rest low, uint64_t remainder, uint64_t modulus) {
    uint64_t half = modulus / 2; // the modulus is even
    if (remainder > half || (remainder == half && low != TW__NOTHING))
        return TW__MORE;
    if (remainder == half)
        return TW__HALF;
    return remainder != 0 || low != TW__NOTHING ? TW__LESS : TW__NOTHING;
}

// The rest of a division with this remainder and divisor.
TW_INLINE tw__rest tw__against(uint64_t r1, uint64_t r0, uint64_t d1, uint64_t d0) {
    if ((r1 | r0) == 0)
        return TW__NOTHING;
    uint64_t borrow = 0, c0 = tw__minus(d0, r0, &borrow), c1 = tw__minus(d1, r1, &borrow);
    if (r1 == c1 && r0 == c0)
        return TW__HALF;
    return r1 < c1 || (r1 == c1 && r0 < c0) ? TW__LESS : TW__MORE;
}

// Whether rounding moves the kept digits one away from zero: a bit for each answer, since a branch costs more. From the
// lowest up, each mode has four bits for what is dropped, of even and odd numbers, above and below zero. Nothing dropped
// is a 0 everywhere, so it does not matter where mode none looks.
TW_INLINE uint64_t tw__grows(tw_mode mode, bool negative, bool odd, tw__rest dropped) {
    const uint64_t ceiling = 0x00ee, floor = 0xee00, half_even = 0xc8c8, half_up = 0xcccc;
    uint64_t answers = ceiling << 48 | floor << 32 | half_even << 16 | half_up;
    return answers >> (16 * ((uint32_t)mode - TW_HALF_UP) & 63) >> ((uint32_t)dropped | (uint32_t)odd << 2 | (uint32_t)negative << 3) & 1;
}

typedef struct {
    uint64_t value, shift, normal, reciprocal; // 10^n; its leading zeros; shifted by them; floor((2^128-1)/normal) - 2^64
} tw__power;

static const tw__power tw__powers[20] = {
    {1ull, 63, 0x8000000000000000, 0xffffffffffffffff},
    {10ull, 60, 0xa000000000000000, 0x9999999999999999},
    {100ull, 57, 0xc800000000000000, 0x47ae147ae147ae14},
    {1000ull, 54, 0xfa00000000000000, 0x624dd2f1a9fbe76},
    {10000ull, 50, 0x9c40000000000000, 0xa36e2eb1c432ca57},
    {100000ull, 47, 0xc350000000000000, 0x4f8b588e368f0846},
    {1000000ull, 44, 0xf424000000000000, 0xc6f7a0b5ed8d36b},
    {10000000ull, 40, 0x9896800000000000, 0xad7f29abcaf48578},
    {100000000ull, 37, 0xbebc200000000000, 0x5798ee2308c39df9},
    {1000000000ull, 34, 0xee6b280000000000, 0x12e0be826d694b2e},
    {10000000000ull, 30, 0x9502f90000000000, 0xb7cdfd9d7bdbab7d},
    {100000000000ull, 27, 0xba43b74000000000, 0x5fd7fe17964955fd},
    {1000000000000ull, 24, 0xe8d4a51000000000, 0x19799812dea11197},
    {10000000000000ull, 20, 0x9184e72a00000000, 0xc25c268497681c26},
    {100000000000000ull, 17, 0xb5e620f480000000, 0x6849b86a12b9b01e},
    {1000000000000000ull, 14, 0xe35fa931a0000000, 0x203af9ee756159b2},
    {10000000000000000ull, 10, 0x8e1bc9bf04000000, 0xcd2b297d889bc2b6},
    {100000000000000000ull, 7, 0xb1a2bc2ec5000000, 0x70ef54646d496892},
    {1000000000000000000ull, 4, 0xde0b6b3a76400000, 0x2725dd1d243aba0e},
    {10000000000000000000ull, 0, 0x8ac7230489e80000, 0xd83c94fb6d2ac34a},
};

// One digit of a quotient: r:x / normal, by the reciprocal (Möller and Granlund, "Improved division by invariant
// integers", algorithm 4). r is below normal and becomes the remainder.
TW_INLINE uint64_t tw__digit(uint64_t *r, uint64_t x, const tw__power *p) {
    uint64_t lo = p->reciprocal * *r + x, q = tw__high(p->reciprocal, *r) + *r + 1 + (lo < x);
    uint64_t left = x - q * p->normal;
    if (left > lo) {
        q--;
        left += p->normal;
    }
    if (left >= p->normal) {
        q++;
        left -= p->normal;
    }
    *r = left;
    return q;
}

// x2:x1:x0 / 10^n for n from 1 to 19 and x2 below 10^n: the two digits of the quotient, and the remainder.
TW_INLINE uint64_t tw__divide_words(uint64_t x2, uint64_t *x1, uint64_t *x0, uint32_t n) {
    const tw__power *p = &tw__powers[n];
    uint64_t up = p->shift, r = x2 << up | *x1 >> 1 >> (63 - up);
    uint64_t a = *x1 << up | *x0 >> 1 >> (63 - up), b = *x0 << up;
    *x1 = tw__digit(&r, a, p);
    *x0 = tw__digit(&r, b, p);
    return r >> up;
}

TW_SLOW uint64_t tw__divide_power(tw_sum *x, uint32_t n) {
    uint64_t r = 0;
    if (x->w3 | x->w2)
        r = tw__divide_words(0, &x->w3, &x->w2, n);
    return tw__divide_words(r, &x->w1, &x->w0, n);
}

// hi:lo * 10^n, and whether that fits 128 bits.
TW_SLOW bool tw__times_power(uint64_t *hi, uint64_t *lo, uint32_t n) {
    while (n > 0) {
        uint32_t step = n < 19 ? n : 19;
        uint64_t by = tw__powers[step].value, carry = 0;
        uint64_t over = tw__high(*hi, by);
        uint64_t top = tw__plus(*hi * by, tw__high(*lo, by), &carry);
        if (over | carry)
            return false;
        *hi = top;
        *lo *= by;
        n -= step;
    }
    return true;
}

TW_INLINE tw_sum tw__times(tw_sum a, tw_sum b) { // of 128 bits each
    tw_sum p = {a.w0 * b.w0, tw__high(a.w0, b.w0), 0, 0};
    uint64_t carry = 0;
    if (a.w1) {
        p.w1 = tw__plus(p.w1, a.w1 * b.w0, &carry);
        p.w2 = tw__high(a.w1, b.w0) + carry;
    }
    if (b.w1) {
        carry = 0;
        p.w1 = tw__plus(p.w1, a.w0 * b.w1, &carry);
        p.w2 = tw__plus(p.w2, tw__high(a.w0, b.w1), &carry);
        p.w3 = carry;
        carry = 0;
        p.w2 = tw__plus(p.w2, a.w1 * b.w1, &carry);
        p.w3 += tw__high(a.w1, b.w1) + carry;
    }
    return p;
}

TW_INLINE void tw__next(tw_sum *x) {
    uint64_t carry = 1;
    x->w0 = tw__plus(x->w0, 0, &carry);
    x->w1 = tw__plus(x->w1, 0, &carry);
    x->w2 = tw__plus(x->w2, 0, &carry);
    x->w3 += carry;
}

TW_INLINE tw_sum tw__sum_opposite(tw_sum s) {
    s = (tw_sum){~s.w0, ~s.w1, ~s.w2, ~s.w3};
    tw__next(&s);
    return s;
}

TW_INLINE bool tw__valid(tw_rounding r) {
    return (uint32_t)r.mode <= TW_CEILING && r.scale >= -20 && r.scale <= 18;
}

TW_INLINE int32_t tw__scale(tw_rounding r) { return r.mode == TW_NONE ? 18 : r.scale; }

// Rounds an exact magnitude with so many decimal places, behind which is what dropped says.
TW_SLOW tw_error tw__finish(tw_sum m, int32_t places, tw__rest dropped, bool negative, tw_rounding r, tw_decimal *out) {
    int32_t scale = tw__scale(r);
    while (places > scale) {
        int32_t step = places - scale < 18 ? places - scale : 18;
        uint64_t remainder = tw__divide_power(&m, (uint32_t)step);
        dropped = tw__behind(dropped, remainder, tw__powers[step].value);
        places -= step;
    }
    if (dropped != TW__NOTHING) {
        if (r.mode == TW_NONE)
            return TW_INEXACT;
        if (tw__grows(r.mode, negative, m.w0 & 1, dropped))
            tw__next(&m);
    }
    if (m.w3 | m.w2)
        return TW_OVERFLOW;
    uint64_t hi = m.w1, lo = m.w0;
    if (scale != 18 && !tw__times_power(&hi, &lo, (uint32_t)(18 - scale)))
        return TW_OVERFLOW;
    return tw__signed(negative, hi, lo, out);
}

// The same for a magnitude of one word with 18 decimal places, of which 0 to 18 are kept.
TW_INLINE tw_error tw__finish_word(uint64_t m, tw__rest dropped, bool negative, tw_rounding r, tw_decimal *out) {
    uint64_t last = 1, kept = m; // what one more is worth, and how many of it there are
    if (r.scale != 18) {
        last = tw__powers[18 - r.scale].value;
        kept = m / last;
        uint64_t whole = kept * last;
        dropped = tw__behind(dropped, m - whole, last);
        m = whole;
    }
    uint64_t more = last & -tw__grows(r.mode, negative, kept & 1, dropped);
    tw_decimal d = {m + more, 0};
    d.hi = d.lo < more;
    *out = negative ? tw__opposite(d) : d;
    return TW_OK;
}

// The same for one of two words: below 2^126, rounding leaves no room.
TW_SLOW tw_error tw__finish_words(uint64_t hi, uint64_t lo, tw__rest dropped, bool negative, tw_rounding r, tw_decimal *out) {
    int32_t n = 18 - tw__scale(r);
    if (n > 18 || hi >= 1ull << 62 || r.mode == TW_NONE)
        return tw__finish((tw_sum){lo, hi, 0, 0}, 18, dropped, negative, r, out);
    uint64_t power = tw__powers[n].value; // rounding adds less than 10^18, so nothing below reaches 2^127
    if (n > 0)
        dropped = tw__behind(dropped, tw__divide_words(0, &hi, &lo, (uint32_t)n), power);
    uint64_t more = tw__grows(r.mode, negative, lo & 1, dropped);
    lo += more;
    hi += lo < more;
    tw_decimal d = {lo * power, (int64_t)(hi * power + tw__high(lo, power))};
    *out = negative ? tw__opposite(d) : d;
    return TW_OK;
}

// tw_mul where the product or a factor takes more than a word.
TW_SLOW tw_error tw__mul_wide(tw_decimal a, tw_decimal b, tw_rounding r, tw_decimal *out) {
    bool negative = (a.hi ^ b.hi) < 0;
    tw_sum p = tw__times(tw__magnitude(a), tw__magnitude(b));
    if (p.w3 == 0 && p.w2 < TW__UNIT) { // the quotient by the surplus scale has two words
        uint64_t remainder = tw__divide_words(p.w2, &p.w1, &p.w0, 18);
        return tw__finish_words(p.w1, p.w0, tw__behind(TW__NOTHING, remainder, TW__UNIT), negative, r, out);
    }
    return tw__finish(p, 36, TW__NOTHING, negative, r, out);
}

// Fuel is taken for the longest way through a function, so the ways beyond 64 bits are functions of their own.
TW_SLOW tw_error tw_mul(tw_decimal a, tw_decimal b, tw_rounding r, tw_decimal *out) {
    if (!tw__valid(r))
        return TW_INVALID_ROUNDING;
    tw_sum x = tw__magnitude(a), y = tw__magnitude(b);
    uint64_t hi = tw__high(x.w0, y.w0), lo = x.w0 * y.w0;
    if ((x.w1 | y.w1) != 0 || hi >= TW__UNIT || r.mode == TW_NONE || r.scale < 0)
        return tw__mul_wide(a, b, r, out);
    const tw__power *p = &tw__powers[18]; // its top four bits are free
    uint64_t remainder = hi << 4 | lo >> 60, quotient = tw__digit(&remainder, lo << 4, p);
    return tw__finish_word(quotient, tw__behind(TW__NOTHING, remainder >> 4, TW__UNIT), (a.hi ^ b.hi) < 0, r, out);
}

// hi:lo / y, for hi below y (Knuth, The Art of Computer Programming, volume 2, 4.3.1, algorithm D, in base 2^32).
TW_SLOW uint64_t tw__divide64(uint64_t hi, uint64_t lo, uint64_t y, uint64_t *remainder) {
    uint32_t s = (uint32_t)__builtin_clzll(y);
    y <<= s;
    uint64_t y1 = y >> 32, y0 = (uint32_t)y;
    uint64_t u32 = hi << s | lo >> 1 >> (63 - s), u10 = lo << s, u1 = u10 >> 32, u0 = (uint32_t)u10;
    uint64_t q1 = u32 / y1, r = u32 - q1 * y1;
    while (q1 >> 32 || q1 * y0 > (r << 32 | u1)) {
        q1--;
        r += y1;
        if (r >> 32)
            break;
    }
    uint64_t u21 = (u32 << 32) + u1 - q1 * y, q0 = u21 / y1;
    r = u21 - q0 * y1;
    while (q0 >> 32 || q0 * y0 > (r << 32 | u0)) {
        q0--;
        r += y1;
        if (r >> 32)
            break;
    }
    *remainder = ((u21 << 32) + u0 - q0 * y) >> s;
    return (q1 << 32) + q0;
}

TW_SLOW tw__rest tw__divide_word(tw_sum *x, uint64_t d) {
    uint64_t r = x->w3 % d;
    x->w3 /= d;
    x->w2 = tw__divide64(r, x->w2, d, &r);
    x->w1 = tw__divide64(r, x->w1, d, &r);
    x->w0 = tw__divide64(r, x->w0, d, &r);
    return tw__against(0, r, 0, d);
}

// One digit of a quotient in base 2^64: r1:r0:next / d1:d0, for a divisor whose top bit is set and r1:r0 below it (the
// same algorithm D). r1:r0 becomes the remainder.
TW_SLOW uint64_t tw__divide_digit(uint64_t *r1, uint64_t *r0, uint64_t next, uint64_t d1, uint64_t d0) {
    uint64_t digit = UINT64_MAX, rest = *r0 + d1;
    bool over = rest < d1;
    if (*r1 < d1) {
        digit = tw__divide64(*r1, *r0, d1, &rest);
        over = false;
    }
    uint64_t hi = tw__high(digit, d0), lo = digit * d0;
    while (!over && (hi > rest || (hi == rest && lo > next))) { // the guess is at most two too large
        digit--;
        hi -= lo < d0;
        lo -= d0;
        rest += d1;
        over = rest < d1;
    }
    *r0 = next - lo;
    *r1 = rest - hi - (next < lo);
    return digit;
}

// x / d1:d0, for x below 2^190.
TW_SLOW tw__rest tw__divide(tw_sum *x, uint64_t d1, uint64_t d0) {
    if (d1 == 0)
        return tw__divide_word(x, d0);
    uint32_t up = (uint32_t)__builtin_clzll(d1), down = 63 - up;
    d1 = d1 << up | d0 >> 1 >> down;
    d0 <<= up;
    uint64_t r1 = x->w3 << up | x->w2 >> 1 >> down, r0 = x->w2 << up | x->w1 >> 1 >> down;
    uint64_t q1 = tw__divide_digit(&r1, &r0, x->w1 << up | x->w0 >> 1 >> down, d1, d0);
    uint64_t q0 = tw__divide_digit(&r1, &r0, x->w0 << up, d1, d0);
    *x = (tw_sum){q0, q1, 0, 0};
    return tw__against(r1, r0, d1, d0);
}

TW_SLOW tw_error tw__quo_wide(tw_decimal a, tw_decimal b, tw_rounding r, tw_decimal *out) {
    // The scales cancel; as many digits are put on as the result keeps, so the rest of this division is the rest of
    // the result.
    int32_t places = tw__scale(r) > 0 ? tw__scale(r) : 0;
    tw_sum d = tw__magnitude(b), x = tw__times(tw__magnitude(a), (tw_sum){tw__powers[places].value, 0, 0, 0});
    tw__rest dropped = tw__divide(&x, d.w1, d.w0);
    return tw__finish(x, places, dropped, (a.hi ^ b.hi) < 0, r, out);
}

// units as a whole number, from 0 to some 3.9e10; false for others. It divides the upper 64 of their lower 96 bits by
// 10^18/2^32, by a multiplication with the reciprocal, rounded up both times: the quotient of a whole number is then
// exact. Of anything else it is off by less than 2^64, so the lower half of the product says whether it is one.
TW_INLINE bool tw__count(tw_decimal units, uint64_t *n) {
    const uint64_t reciprocal = 10633823966279326984ull; // 2^(64+27+32) / 10^18, rounded up
    *n = tw__high(((uint64_t)units.hi << 32 | units.lo >> 32) + 1, reciprocal) >> 27;
    return ((uint64_t)units.hi >> 31 | (*n * TW__UNIT ^ units.lo)) == 0;
}

// Two words n and m with n / m = a / b, for numbers that are not below 0: where both are small, or both whole.
TW_INLINE bool tw__ratio(tw_decimal a, tw_decimal b, uint64_t *n, uint64_t *m) {
    *n = a.lo;
    *m = b.lo;
    return (a.hi | b.hi) == 0 || (tw__count(a, n) && tw__count(b, m));
}

TW_SLOW tw_error tw_quo(tw_decimal a, tw_decimal b, tw_rounding r, tw_decimal *out) {
    if (!tw__valid(r))
        return TW_INVALID_ROUNDING;
    if (tw_is_zero(b))
        return TW_DIVISION_BY_ZERO;
    tw_decimal x = a.hi < 0 ? tw__opposite(a) : a, y = b.hi < 0 ? tw__opposite(b) : b;
    uint64_t n, m;
    if (r.mode == TW_NONE || r.scale < 0 || !tw__ratio(x, y, &n, &m))
        return tw__quo_wide(a, b, r, out);
    uint64_t digits = tw__powers[r.scale].value, last = tw__powers[18 - r.scale].value;
    if (tw__high(n, digits) != 0)
        return tw__quo_wide(a, b, r, out);
    bool negative = (a.hi ^ b.hi) < 0;
    n *= digits;
    uint64_t q = n / m;
    q += tw__grows(r.mode, negative, q & 1, tw__against(0, n - q * m, 0, m)); // not beyond a word: m is above 1 where something is dropped
    tw_decimal d = {q * last, (int64_t)tw__high(q, last)};
    *out = negative ? tw__opposite(d) : d;
    return TW_OK;
}

TW_SLOW tw_error tw_round(tw_decimal d, tw_rounding r, tw_decimal *out) {
    if (!tw__valid(r))
        return TW_INVALID_ROUNDING;
    if (tw__scale(r) == 18) {
        *out = d;
        return TW_OK;
    }
    tw_sum m = tw__magnitude(d);
    if (m.w1 != 0 || r.scale < 0)
        return tw__finish_words(m.w1, m.w0, TW__NOTHING, d.hi < 0, r, out);
    return tw__finish_word(m.w0, TW__NOTHING, d.hi < 0, r, out);
}

TW_INLINE tw_sum tw_product(tw_decimal a, tw_decimal b) {
    tw_sum p = tw__times(tw__magnitude(a), tw__magnitude(b));
    return (a.hi ^ b.hi) < 0 ? tw__sum_opposite(p) : p;
}

TW_SLOW tw_error tw_sum_add(tw_sum a, tw_sum b, tw_sum *out) {
    tw_sum s;
    uint64_t carry = 0;
    s.w0 = tw__plus(a.w0, b.w0, &carry);
    s.w1 = tw__plus(a.w1, b.w1, &carry);
    s.w2 = tw__plus(a.w2, b.w2, &carry);
    s.w3 = tw__plus(a.w3, b.w3, &carry);
    if (((a.w3 ^ s.w3) & (b.w3 ^ s.w3)) >> 63)
        return TW_OVERFLOW;
    *out = s;
    return TW_OK;
}

TW_SLOW tw_error tw_sum_sub(tw_sum a, tw_sum b, tw_sum *out) {
    if (b.w3 == 1ull << 63 && (b.w2 | b.w1 | b.w0) == 0)
        return TW_OVERFLOW;
    return tw_sum_add(a, tw__sum_opposite(b), out);
}

TW_SLOW tw_error tw_sum_quo(tw_sum s, int64_t n, tw_rounding r, tw_decimal *out) {
    if (!tw__valid(r))
        return TW_INVALID_ROUNDING;
    if (n <= 0)
        return TW_DIVISION_BY_ZERO;
    bool negative = s.w3 >> 63;
    if (negative)
        s = tw__sum_opposite(s);
    tw__rest dropped = n == 1 ? TW__NOTHING : tw__divide_word(&s, (uint64_t)n);
    return tw__finish(s, 36, dropped, negative, r, out);
}

TW_INLINE bool tw__is_digit(char c) { return c >= '0' && c <= '9'; }

// Reads an exponent behind its e; what is larger than any text can need is cut.
TW_SLOW bool tw__parse_exponent(tw_text t, uint32_t i, int64_t *out) {
    bool negative = i < t.length && t.at[i] == '-';
    if (i < t.length && (t.at[i] == '-' || t.at[i] == '+'))
        i++;
    if (i == t.length)
        return false;
    int64_t n = 0;
    for (; i < t.length; i++) {
        if (!tw__is_digit(t.at[i]))
            return false;
        n = n * 10 + (t.at[i] - '0');
        if (n > 1ll << 40)
            n = 1ll << 40;
    }
    *out = negative ? -n : n;
    return true;
}

TW_SLOW tw_error tw_parse(tw_text t, tw_decimal *out) {
    uint32_t i = 0;
    bool negative = t.length > 0 && t.at[0] == '-';
    i += negative;
    uint32_t start = i, point = 0;
    while (i < t.length && tw__is_digit(t.at[i]))
        i++;
    if (i == start)
        return TW_SYNTAX;
    point = i;
    if (i < t.length && t.at[i] == '.') {
        uint32_t fraction = ++i;
        while (i < t.length && tw__is_digit(t.at[i]))
            i++;
        if (i == fraction)
            return TW_SYNTAX;
    }
    uint32_t end = i;
    int64_t exponent = 0;
    if (i < t.length && ((t.at[i] != 'e' && t.at[i] != 'E') || !tw__parse_exponent(t, i + 1, &exponent)))
        return TW_SYNTAX;
    if (end > point)
        exponent -= end - point - 1;
    // Zeros at both ends do not count.
    while (end > start && (t.at[end - 1] == '0' || t.at[end - 1] == '.'))
        exponent += --end != point;
    while (start < end && (t.at[start] == '0' || t.at[start] == '.'))
        start++;
    int64_t count = end - start - (start < point && point < end), shift = exponent + 18;
    if (count == 0) {
        *out = TW_ZERO;
        return TW_OK;
    }
    if (shift < 0)
        return TW_TOO_PRECISE;
    if (count + shift > 39) // the digits of 2^127
        return TW_OVERFLOW;
    uint64_t hi = 0, lo = 0;
    for (i = start; i < end; i++) {
        if (t.at[i] == '.')
            continue;
        uint64_t carry = 0;
        if (!tw__times_power(&hi, &lo, 1))
            return TW_OVERFLOW;
        lo = tw__plus(lo, (uint64_t)(t.at[i] - '0'), &carry);
        hi = tw__plus(hi, 0, &carry);
        if (carry)
            return TW_OVERFLOW;
    }
    if (!tw__times_power(&hi, &lo, (uint32_t)shift))
        return TW_OVERFLOW;
    return tw__signed(negative, hi, lo, out);
}

TW_SLOW uint32_t tw_format(tw_decimal d, int32_t scale, char *buffer) {
    tw_sum m = tw__magnitude(d);
    char digits[40];
    uint32_t n = 0; // from the least significant on
    while (n < 19 || (m.w0 | m.w1) != 0)
        digits[n++] = (char)('0' + tw__divide_words(0, &m.w1, &m.w0, 1));
    uint32_t zeros = 0, at = 0; // behind the last decimal place that counts
    while (zeros < 18 && digits[zeros] == '0' && 18 - (int32_t)zeros > scale)
        zeros++;
    if (d.hi < 0)
        buffer[at++] = '-';
    while (n > zeros) {
        if (n == 18)
            buffer[at++] = '.';
        buffer[at++] = digits[--n];
    }
    return at;
}

// ===============================================================================================================
// 7 JSON: the request, read into a flat list of nodes that stands behind it in the arena

typedef enum { TW__NULL, TW__BOOL, TW__NUMBER, TW__STRING, TW__LIST, TW__OBJECT } tw__kind;

typedef struct {
    tw__kind kind;
    bool used, opened; // a reader asked for it; an object whose members are parameters
    tw_text key, text; // of a string its content, of a number what was written
    int32_t parent, first, next;
    uint32_t index, count; // in a list; of a parent the number of its children
} tw__node;

// A parameter that was asked for, so that who wrote an unknown one learns the known ones.
typedef struct {
    int32_t node;
    const char *name;
} tw__asked;

static struct {
    char *text;
    uint32_t length, at, depth;
    const char *problem;
    tw__node *nodes;
    int32_t count, room;
    tw__asked *asked;
    uint32_t asked_count, asked_room;
} tw__doc;

TW_INLINE tw__node *tw__at(int32_t n) { return &tw__doc.nodes[n]; }

TW_INLINE bool tw__wrong(const char *problem) {
    if (!tw__doc.problem)
        tw__doc.problem = problem;
    return false;
}

TW_INLINE void tw__space(void) {
    while (tw__doc.at < tw__doc.length) {
        char c = tw__doc.text[tw__doc.at];
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            return;
        tw__doc.at++;
    }
}

TW_INLINE bool tw__take(char c) {
    if (tw__doc.at == tw__doc.length || tw__doc.text[tw__doc.at] != c)
        return false;
    tw__doc.at++;
    return true;
}

TW_SLOW bool tw__hex4(uint32_t *out) {
    *out = 0;
    if (tw__doc.length - tw__doc.at < 4)
        return tw__wrong("four hexadecimal digits are missing");
    for (int i = 0; i < 4; i++) {
        char c = tw__doc.text[tw__doc.at++];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0)
            return tw__wrong("four hexadecimal digits are missing");
        *out = *out << 4 | (uint32_t)digit;
    }
    return true;
}

// Reads what follows a backslash and writes it at *to, which lies before it.
TW_SLOW bool tw__escape(uint32_t *to) {
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    char c = tw__doc.at < tw__doc.length ? tw__doc.text[tw__doc.at++] : 0;
    for (int i = 0; from[i]; i++)
        if (c == from[i]) {
            tw__doc.text[(*to)++] = into[i];
            return true;
        }
    uint32_t rune, low;
    if (c != 'u')
        return tw__wrong("unknown escape");
    if (!tw__hex4(&rune))
        return false;
    if (rune >= 0xD800 && rune <= 0xDFFF) {
        if (rune >= 0xDC00 || !tw__take('\\') || !tw__take('u'))
            return tw__wrong("half of a surrogate pair");
        if (!tw__hex4(&low))
            return false;
        if (low < 0xDC00 || low > 0xDFFF)
            return tw__wrong("half of a surrogate pair");
        rune = 0x10000 + ((rune - 0xD800) << 10) + (low - 0xDC00);
    }
    unsigned char *o = (unsigned char *)tw__doc.text + *to;
    uint32_t n = rune < 0x80 ? 1 : rune < 0x800 ? 2 : rune < 0x10000 ? 3 : 4;
    static const unsigned char lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (uint32_t i = n; i-- > 1; rune >>= 6)
        o[i] = (unsigned char)(0x80 | (rune & 0x3F));
    o[0] = (unsigned char)(lead[n] | rune);
    *to += n;
    return true;
}

// Reads a string, whose quote is at hand, in place.
TW_SLOW bool tw__string(tw_text *out) {
    uint32_t start = ++tw__doc.at, to = start;
    while (tw__doc.at < tw__doc.length) {
        unsigned char c = (unsigned char)tw__doc.text[tw__doc.at++];
        if (c == '"') {
            *out = (tw_text){tw__doc.text + start, to - start};
            return true;
        }
        if (c < ' ')
            return tw__wrong("control character in a string");
        if (c != '\\')
            tw__doc.text[to++] = (char)c;
        else if (!tw__escape(&to))
            return false;
    }
    return tw__wrong("a string does not end");
}

TW_SLOW bool tw__digits(void) {
    uint32_t start = tw__doc.at;
    while (tw__doc.at < tw__doc.length && tw__is_digit(tw__doc.text[tw__doc.at]))
        tw__doc.at++;
    return tw__doc.at > start || tw__wrong("a digit is missing");
}

TW_SLOW bool tw__number(void) {
    tw__take('-');
    if (!tw__take('0') && !tw__digits())
        return false;
    if (tw__take('.') && !tw__digits())
        return false;
    if (!tw__take('e') && !tw__take('E'))
        return true;
    if (!tw__take('+'))
        tw__take('-');
    return tw__digits();
}

TW_SLOW bool tw__literal(tw__node *n) {
    static const struct { tw_text text; tw__kind kind; } words[3] = {{{"null", 4}, TW__NULL}, {{"true", 4}, TW__BOOL}, {{"false", 5}, TW__BOOL}};
    for (int i = 0; i < 3; i++)
        if (tw__doc.length - tw__doc.at >= words[i].text.length &&
            tw_text_equal((tw_text){tw__doc.text + tw__doc.at, words[i].text.length}, words[i].text)) {
            n->kind = words[i].kind;
            n->text = words[i].text;
            tw__doc.at += words[i].text.length;
            return true;
        }
    return tw__wrong("not a value");
}

TW_SLOW int32_t tw__child(int32_t object, tw_text key) {
    for (int32_t n = tw__at(object)->first; n >= 0; n = tw__at(n)->next)
        if (tw_text_equal(tw__at(n)->key, key))
            return n;
    return -1;
}

TW_SLOW bool tw__value(int32_t parent, tw_text key);

// Reads the children of a list or an object up to its end.
TW_SLOW bool tw__children(int32_t self, bool object) {
    char end = object ? '}' : ']';
    tw__at(self)->kind = object ? TW__OBJECT : TW__LIST;
    tw__space();
    if (tw__take(end))
        return true;
    for (int32_t last = -1;;) {
        tw_text key = {0, 0};
        tw__space();
        if (object) {
            if (tw__doc.at == tw__doc.length || tw__doc.text[tw__doc.at] != '"')
                return tw__wrong("a key is missing");
            if (!tw__string(&key))
                return false;
            if (tw__child(self, key) >= 0)
                return tw__wrong("a key is there twice");
            tw__space();
            if (!tw__take(':'))
                return tw__wrong("a colon is missing");
        }
        int32_t child = tw__doc.count;
        if (!tw__value(self, key))
            return false;
        tw__at(child)->index = tw__at(self)->count++;
        if (last < 0)
            tw__at(self)->first = child;
        else
            tw__at(last)->next = child;
        last = child;
        tw__space();
        if (tw__take(end))
            return true;
        if (!tw__take(','))
            return tw__wrong("a comma or the end is missing");
    }
}

TW_SLOW bool tw__value(int32_t parent, tw_text key) {
    tw__space();
    if (tw__doc.at == tw__doc.length)
        return tw__wrong("a value is missing");
    if (tw__doc.count == tw__doc.room)
        return tw__wrong("more values than there is room for");
    int32_t self = tw__doc.count++;
    tw__node *n = tw__at(self);
    *n = (tw__node){.key = key, .parent = parent, .first = -1, .next = -1};
    char c = tw__doc.text[tw__doc.at];
    if (c == '{' || c == '[') {
        if (tw__doc.depth == 32)
            return tw__wrong("nested too deep");
        tw__doc.at++;
        tw__doc.depth++;
        bool ok = tw__children(self, c == '{');
        tw__doc.depth--;
        return ok;
    }
    if (c == '"') {
        n->kind = TW__STRING;
        return tw__string(&n->text);
    }
    if (c == '-' || tw__is_digit(c)) {
        uint32_t start = tw__doc.at;
        n->kind = TW__NUMBER;
        bool ok = tw__number();
        n->text = (tw_text){tw__doc.text + start, tw__doc.at - start};
        return ok;
    }
    return tw__literal(n);
}

static char tw__problem_text[4096];
static tw__buffer tw__problems;

TW_SLOW void tw__path(int32_t n, int32_t root) {
    if (n == root || n < 0)
        return;
    int32_t parent = tw__at(n)->parent;
    tw__path(parent, root);
    if (parent >= 0 && tw__at(parent)->kind == TW__LIST) {
        tw__puts(&tw__problems, "[");
        tw__put_number(&tw__problems, tw__at(n)->index);
        tw__puts(&tw__problems, "]");
        return;
    }
    tw_text key = tw__at(n)->key;
    bool plain = key.length > 0;
    for (uint32_t i = 0; i < key.length; i++) {
        char c = key.at[i] | 0x20;
        plain = plain && ((c >= 'a' && c <= 'z') || tw__is_digit(key.at[i]) || key.at[i] == '_');
    }
    tw__puts(&tw__problems, plain ? "." : "[");
    if (plain)
        tw__put(&tw__problems, key);
    else
        tw__put_quoted(&tw__problems, key);
    if (!plain)
        tw__puts(&tw__problems, "]");
}

static int32_t tw__root; // the node of the parameters

// Begins a problem with what stands at a node, or at the member of it that is named. It says false for one too many.
TW_SLOW bool tw__problem(tw_config *c, int32_t node, const char *name) {
    if (++c->problem_count > 20)
        return false;
    tw__puts(&tw__problems, c->problem_count > 1 ? "; params" : "params");
    tw__path(node, tw__root);
    if (name && *name) {
        tw__puts(&tw__problems, ".");
        tw__puts(&tw__problems, name);
    }
    tw__puts(&tw__problems, ": ");
    return true;
}

TW_SLOW void tw_param_fail(tw_params p, const char *name, const char *message) {
    if (p.node >= 0 && tw__problem(p.config, p.node, name))
        tw__puts(&tw__problems, message);
}

static const char *const tw__kinds[6] = {"null", "true or false", "a number", "a string", "a list", "an object"};

// The value of a parameter, of one of the kinds that have a bit in `kinds`; -1 when it is absent, null or another.
TW_SLOW int32_t tw__find(tw_params p, const char *name, bool required, uint32_t kinds, const char *wanted) {
    if (p.node < 0)
        return -1;
    if (tw__doc.asked_count < tw__doc.asked_room)
        tw__doc.asked[tw__doc.asked_count++] = (tw__asked){p.node, name};
    int32_t n = tw__child(p.node, tw_text_of(name));
    if (n < 0) {
        if (required)
            tw_param_fail(p, name, "is missing");
        return -1;
    }
    tw__node *v = tw__at(n);
    v->used = true;
    if (v->kind == TW__NULL && !required)
        return -1;
    if (kinds >> v->kind & 1)
        return n;
    if (tw__problem(p.config, p.node, name)) {
        tw__puts(&tw__problems, "must be ");
        tw__puts(&tw__problems, wanted);
        tw__puts(&tw__problems, ", not ");
        tw__puts(&tw__problems, tw__kinds[v->kind]);
    }
    return -1;
}

static const char *const tw__error_texts[8] = {
    "", "overflow: beyond ±170141183460469231731.687303715884105727", "division by zero",
    "inexact: the result has more than 18 decimal places and no rounding is named",
    "invalid rounding: scale must be -20 to 18, mode one of none, half_up, half_even, floor, ceiling", "",
    "invalid syntax", "more than 18 decimal places",
};

TW_SLOW bool tw__decimal(tw_params p, const char *name, bool required, tw_decimal *out) {
    *out = TW_ZERO;
    int32_t n = tw__find(p, name, required, 1 << TW__STRING | 1 << TW__NUMBER, "a decimal number");
    if (n < 0)
        return false;
    tw_error e = tw_parse(tw__at(n)->text, out);
    if (e != TW_OK && tw__problem(p.config, p.node, name)) {
        tw__puts(&tw__problems, "decimal ");
        tw_text shown = tw__at(n)->text;
        shown.length = shown.length < 64 ? shown.length : 64;
        tw__put_quoted(&tw__problems, shown);
        tw__puts(&tw__problems, ": ");
        tw__puts(&tw__problems, tw__error_texts[e]);
    }
    return e == TW_OK;
}

TW_SLOW tw_decimal tw_param_decimal(tw_params p, const char *name) {
    tw_decimal d;
    tw__decimal(p, name, true, &d);
    return d;
}

TW_SLOW bool tw_param_optional_decimal(tw_params p, const char *name, tw_decimal *out) { return tw__decimal(p, name, false, out); }

// Reads digits as a whole number of 64 bits.
TW_SLOW bool tw__whole(tw_text t, int64_t *out) {
    bool negative = t.length > 0 && t.at[0] == '-';
    uint64_t n = 0, limit = negative ? 1ull << 63 : INT64_MAX;
    for (uint32_t i = negative; i < t.length; i++) {
        uint64_t digit = (uint64_t)(t.at[i] - '0');
        if (!tw__is_digit(t.at[i]) || n > (limit - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *out = negative ? (int64_t)-n : (int64_t)n;
    return true;
}

TW_SLOW bool tw__int(tw_params p, const char *name, bool required, int64_t least, int64_t most, int64_t *out) {
    *out = least;
    int32_t n = tw__find(p, name, required, 1 << TW__NUMBER, "a whole number");
    int64_t value;
    if (n < 0)
        return false;
    if (tw__whole(tw__at(n)->text, &value) && value >= least && value <= most) {
        *out = value;
        return true;
    }
    if (tw__problem(p.config, p.node, name)) {
        tw__puts(&tw__problems, "must be a whole number from ");
        tw__put_number(&tw__problems, least);
        tw__puts(&tw__problems, " to ");
        tw__put_number(&tw__problems, most);
    }
    return false;
}

TW_SLOW int64_t tw_param_int(tw_params p, const char *name, int64_t least, int64_t most) {
    int64_t n;
    tw__int(p, name, true, least, most, &n);
    return n;
}

TW_SLOW int64_t tw_param_int_or(tw_params p, const char *name, int64_t least, int64_t most, int64_t absent) {
    int64_t n;
    return tw__int(p, name, false, least, most, &n) ? n : absent;
}

TW_SLOW bool tw_param_bool_or(tw_params p, const char *name, bool absent) {
    int32_t n = tw__find(p, name, false, 1 << TW__BOOL, "true or false");
    return n < 0 ? absent : tw__at(n)->text.length == 4;
}

TW_SLOW tw_text tw__text(tw_params p, const char *name, bool required) {
    int32_t n = tw__find(p, name, required, 1 << TW__STRING, "a string");
    if (n < 0)
        return (tw_text){0, 0};
    if (tw__at(n)->text.length == 0)
        tw_param_fail(p, name, "must not be empty");
    return tw__keep(tw__at(n)->text);
}

TW_SLOW tw_text tw_param_text(tw_params p, const char *name) { return tw__text(p, name, true); }
TW_SLOW tw_text tw_param_optional_text(tw_params p, const char *name) { return tw__text(p, name, false); }

TW_SLOW int tw__choice(tw_params p, const char *name, bool required, const char *const *words, int absent) {
    int32_t n = tw__find(p, name, required, 1 << TW__STRING, "a string");
    if (n < 0)
        return absent;
    for (int i = 0; words[i]; i++)
        if (tw_text_equal(tw__at(n)->text, tw_text_of(words[i])))
            return i;
    if (tw__problem(p.config, p.node, name)) {
        tw__puts(&tw__problems, words[1] ? "must be one of " : "must be ");
        for (int i = 0; words[i]; i++) {
            tw__puts(&tw__problems, i ? ", " : "");
            tw__puts(&tw__problems, words[i]);
        }
        tw__puts(&tw__problems, ", not ");
        tw__put_quoted(&tw__problems, tw__at(n)->text);
    }
    return absent;
}

TW_SLOW int tw_param_choice(tw_params p, const char *name, const char *const *words) { return tw__choice(p, name, true, words, -1); }
TW_SLOW int tw_param_choice_or(tw_params p, const char *name, const char *const *words, int absent) {
    return tw__choice(p, name, false, words, absent);
}

TW_INLINE tw_params tw__open(tw_config *c, int32_t object) {
    tw__at(object)->opened = true;
    return (tw_params){c, object};
}

TW_SLOW tw_rounding tw_param_rounding(tw_params p, const char *name) {
    static const char *const modes[] = {"none", "half_up", "half_even", "floor", "ceiling", 0};
    int32_t n = tw__find(p, name, false, 1 << TW__OBJECT, "an object with scale and mode");
    if (n < 0)
        return TW_EXACT;
    tw_params r = tw__open(p.config, n);
    int mode = tw_param_choice(r, "mode", modes);
    if (mode <= 0) {
        tw_param_int_or(r, "scale", -20, 18, 0);
        return TW_EXACT;
    }
    return (tw_rounding){(int32_t)tw_param_int(r, "scale", -20, 18), (tw_mode)mode};
}

TW_SLOW tw_params tw_param_object(tw_params p, const char *name) {
    int32_t n = tw__find(p, name, true, 1 << TW__OBJECT, "an object");
    return n < 0 ? (tw_params){p.config, -1} : tw__open(p.config, n);
}

TW_SLOW bool tw_param_optional_object(tw_params p, const char *name, tw_params *out) {
    int32_t n = tw__find(p, name, false, 1 << TW__OBJECT, "an object");
    *out = n < 0 ? (tw_params){p.config, -1} : tw__open(p.config, n);
    return n >= 0;
}

TW_SLOW tw_list tw_param_list(tw_params p, const char *name) {
    int32_t n = tw__find(p, name, true, 1 << TW__LIST, "a list");
    if (n >= 0 && tw__at(n)->count == 0)
        tw_param_fail(p, name, "must not be empty");
    return n < 0 ? (tw_list){p, -1, 0} : (tw_list){p, tw__at(n)->first, tw__at(n)->count};
}

TW_SLOW tw_list tw_param_map(tw_params p, const char *name) {
    int32_t n = tw__find(p, name, true, 1 << TW__OBJECT, "an object");
    return n < 0 ? (tw_list){p, -1, 0} : (tw_list){p, tw__at(n)->first, tw__at(n)->count};
}

TW_SLOW bool tw_list_next(tw_list *list, tw_params *entry) {
    int32_t n = list->next;
    if (n < 0)
        return false;
    list->next = tw__at(n)->next;
    tw__at(n)->used = true;
    if (tw__at(n)->kind == TW__OBJECT) {
        *entry = tw__open(list->of.config, n);
        return true;
    }
    if (tw__problem(list->of.config, n, 0)) {
        tw__puts(&tw__problems, "must be an object, not ");
        tw__puts(&tw__problems, tw__kinds[tw__at(n)->kind]);
    }
    *entry = (tw_params){list->of.config, -1};
    return true;
}

TW_SLOW tw_text tw_param_key(tw_params entry) { return entry.node < 0 ? (tw_text){0, 0} : tw__keep(tw__at(entry.node)->key); }

TW_SLOW bool tw_param_present(tw_params p, const char *name) {
    int32_t n = p.node < 0 ? -1 : tw__child(p.node, tw_text_of(name));
    return n >= 0 && tw__at(n)->kind != TW__NULL;
}

// Notes every parameter that nothing asked for.
TW_SLOW void tw__refuse_unknown(tw_config *c) {
    for (int32_t n = 0; n < tw__doc.count; n++) {
        tw__node *v = tw__at(n);
        if (v->used || v->parent < 0 || !tw__at(v->parent)->opened || !tw__problem(c, n, 0))
            continue;
        tw__puts(&tw__problems, "unknown parameter; known here: ");
        const char *separator = "";
        for (uint32_t i = 0; i < tw__doc.asked_count; i++) {
            if (tw__doc.asked[i].node != v->parent)
                continue;
            tw__puts(&tw__problems, separator);
            tw__puts(&tw__problems, tw__doc.asked[i].name);
            separator = ", ";
        }
        if (!*separator)
            tw__puts(&tw__problems, "none");
    }
}

// ===============================================================================================================
// 8 The engine's side: sdk/ABI.md

typedef struct {
    uint32_t magic;
    uint16_t major, minor;
    uint32_t header_size, n_events, n_slots, event_off, event_stride, slot_off, slot_stride, n_dims, value_off, n_values;
    uint32_t string_off, string_len, reject_off, reject_stride, n_rejects_max, arena_size;
    uint32_t n_rejects, reply_len, err_len; // written here
    uint32_t units_max, n_finals, reserved[9];
} tw__header;

_Static_assert(sizeof(tw__header) == 128 && offsetof(tw__header, n_rejects) == 72, "the header of the arena");
_Static_assert(sizeof(tw_slot) == 96 && offsetof(tw_slot, carry_out_cap) == 80, "the row of a slot");
_Static_assert(sizeof(tw_event) == 48 && offsetof(tw_event, amount) == 32, "the row of an event");

typedef struct {
    const tw_tariff *tariff;
    tw_error (*event)(void *self, tw_slot *s, const tw_event *e); // the tariff's
    void *self;
    uint32_t lines, line_bytes, state_size, carried_count, dims;
    uint32_t *carried;       // cells that go into the next period
    const tw_graduated *all; // the price of every event; 0 where an event is more, or costs other than plain prices
} tw__configured;

// A number as it was before the unit of work at hand wrote to it.
typedef struct {
    tw_decimal *place, was;
} tw__before;

static char *tw__arena;
static uint32_t tw__arena_size;
static tw__configured *tw__configs;
static uint32_t tw__config_count, tw__config_room;
static tw__before *tw__undo;
static uint32_t tw__undone, tw__undo_room;
static tw__buffer tw__reason, tw__detail; // of the rejection at hand

TW_INLINE tw__header *tw__head(void) { return (tw__header *)(void *)tw__arena; }

TW_SLOW void tw__grow_undo(void) {
    uint32_t room = tw__undo_room ? 2 * tw__undo_room : 64;
    tw__before *more = tw_alloc(room * sizeof *more);
    tw__copy(more, tw__undo, tw__undone * sizeof *more);
    tw__undo = more;
    tw__undo_room = room;
}

TW_INLINE void tw__write(tw_decimal *place, tw_decimal v) {
    if (tw__undone == tw__undo_room)
        tw__grow_undo();
    tw__undo[tw__undone++] = (tw__before){place, *place};
    *place = v;
}

// The same for two that stand together.
TW_INLINE void tw__write_pair(tw_decimal *place, tw_decimal first, tw_decimal second) {
    if (tw__undone + 2 > tw__undo_room)
        tw__grow_undo();
    tw__before *undo = &tw__undo[tw__undone];
    tw__undone += 2;
    undo[0] = (tw__before){place, place[0]};
    undo[1] = (tw__before){place + 1, place[1]};
    place[0] = first;
    place[1] = second;
}

// Where a line is. One of another configuration traps, and so does a cell.
TW_INLINE tw_decimal *tw__line_at(tw_slot *s, tw_line l) {
    if (l.index >= s->lines)
        __builtin_trap();
    return (tw_decimal *)(void *)(tw__arena + s->line_off) + 2 * l.index;
}

TW_INLINE tw_decimal *tw__cell_at(tw_slot *s, tw_cell c) {
    if ((c.index + 1) * sizeof(tw_decimal) > s->state_cap)
        __builtin_trap();
    return (tw_decimal *)(void *)(tw__arena + s->state_off) + c.index;
}

TW_ALWAYS tw_decimal tw_line_quantity(tw_slot *s, tw_line l) { return tw__line_at(s, l)[0]; }
TW_ALWAYS tw_decimal tw_line_amount(tw_slot *s, tw_line l) { return tw__line_at(s, l)[1]; }

TW_ALWAYS void tw_line_set(tw_slot *s, tw_line l, tw_decimal quantity, tw_decimal amount) {
    tw__write_pair(tw__line_at(s, l), quantity, amount);
}

TW_ALWAYS tw_decimal tw_cell_get(tw_slot *s, tw_cell c) { return *tw__cell_at(s, c); }
TW_ALWAYS void tw_cell_set(tw_slot *s, tw_cell c, tw_decimal v) { tw__write(tw__cell_at(s, c), v); }

TW_INLINE tw_sum tw_cell_sum(tw_slot *s, tw_cell c) {
    tw_decimal low = tw_cell_get(s, c), high = tw_cell_get(s, (tw_cell){c.index + 1});
    return (tw_sum){low.lo, (uint64_t)low.hi, high.lo, (uint64_t)high.hi};
}

TW_INLINE void tw_cell_set_sum(tw_slot *s, tw_cell c, tw_sum v) {
    tw_cell_set(s, c, (tw_decimal){v.w0, (int64_t)v.w1});
    tw_cell_set(s, (tw_cell){c.index + 1}, (tw_decimal){v.w2, (int64_t)v.w3});
}

TW_INLINE tw_text tw_value(const tw_event *e, tw_dimension d) {
    tw__header *h = tw__head();
    uint32_t id = d.index < h->n_dims ? e->values[d.index] : UINT32_MAX;
    if (id >= h->n_values)
        __builtin_trap();
    const uint32_t *row = (const uint32_t *)(void *)(tw__arena + h->value_off + 8 * id);
    if ((uint64_t)row[0] + row[1] > h->string_len)
        __builtin_trap();
    return (tw_text){tw__arena + h->string_off + row[0], row[1]};
}

TW_SLOW tw_error tw_reject(const char *reason, tw_text detail) {
    static char reason_text[63], detail_text[184];
    tw__reason = (tw__buffer){reason_text, 0, sizeof reason_text, false};
    tw__detail = (tw__buffer){detail_text, 0, sizeof detail_text, false};
    tw__puts(&tw__reason, reason);
    tw__put(&tw__detail, detail);
    return TW_REJECTED;
}

// Answers code 1: why the call is refused as a whole.
TW_SLOW int32_t tw__fault(const char *what, uint32_t index, const char *more) {
    tw__buffer b = {tw__arena + 128, 0, 4096, false};
    tw__puts(&b, what);
    if (index != UINT32_MAX)
        tw__put_number(&b, index);
    tw__puts(&b, more);
    tw__head()->err_len = b.length;
    return 1;
}

static tw__buffer tw__reply; // the reply to a request, behind which it is put together
static tw__buffer tw__lines; // the lines in it

TW_SLOW tw_line tw_line_claim(tw_config *c, const char *id, const char *description) {
    enum { LONGEST = 2048 }; // every character of a line escaped
    if (tw__lines.limit - tw__lines.length < LONGEST) {
        uint32_t limit = 2 * tw__lines.limit + LONGEST;
        char *more = tw_alloc(limit);
        tw__copy(more, tw__lines.at, tw__lines.length);
        tw__lines = (tw__buffer){more, tw__lines.length, limit, false};
    }
    char room[200];
    tw__buffer cut = {room, 0, sizeof room, false};
    tw__puts(&cut, description);
    tw__puts(&tw__lines, c->lines ? ",{\"id\":" : "{\"id\":");
    tw__put_quoted(&tw__lines, tw_text_of(id));
    tw__puts(&tw__lines, ",\"description\":");
    tw__put_quoted(&tw__lines, (tw_text){room, cut.length});
    tw__puts(&tw__lines, "}");
    return (tw_line){c->lines++};
}

TW_SLOW tw_cell tw_state_claim(tw_config *c) { return (tw_cell){c->cells++}; }

TW_SLOW tw_cell tw_carry_claim(tw_config *c) {
    if (c->carried_count == 256) // cells are 4096 bytes at most
        __builtin_trap();
    c->carried[c->carried_count++] = c->cells;
    return tw_state_claim(c);
}

TW_SLOW tw_dimension tw_dimension_claim(tw_config *c, tw_text name) {
    for (uint32_t i = 0; i < c->dimension_count; i++)
        if (tw_text_equal(c->dimensions[i], name))
            return (tw_dimension){i};
    if (c->dimension_count == 16)
        __builtin_trap();
    c->dimensions[c->dimension_count] = name;
    return (tw_dimension){c->dimension_count++};
}

// Begins a reply in what is free behind the request.
TW_SLOW tw__buffer *tw__begin_reply(const char *start) {
    uint32_t from = 128 + tw__doc.length;
    tw__reply = (tw__buffer){tw__arena + from, 0, tw__arena_size - from, false};
    tw__puts(&tw__reply, start);
    return &tw__reply;
}

TW_SLOW int32_t tw__answer(tw__buffer *b) {
    if (b->full)
        return tw__fault("configure: the reply is longer than the arena", UINT32_MAX, "");
    tw__copy(tw__arena + 128, b->at, b->length);
    tw__head()->reply_len = b->length;
    return 0;
}

TW_SLOW int32_t tw__refuse(tw_text why) {
    tw__buffer *b = tw__begin_reply("{\"error\":");
    tw__put_quoted(b, why);
    tw__puts(b, "}");
    return tw__answer(b);
}

TW_SLOW int32_t tw__accept(const tw_config *c) {
    tw__buffer *b = tw__begin_reply("{\"lines\":[");
    tw__put(b, (tw_text){tw__lines.at, tw__lines.length});
    tw__puts(b, "],\"state_size\":");
    tw__put_number(b, c->cells * 16);
    if (c->carried_count) {
        tw__puts(b, ",\"carry_size\":");
        tw__put_number(b, c->carried_count * 16);
    }
    tw__puts(b, ",\"dimensions\":[");
    for (uint32_t i = 0; i < c->dimension_count; i++) {
        tw__puts(b, i ? "," : "");
        tw__put_quoted(b, c->dimensions[i]);
    }
    tw__puts(b, "]}");
    return tw__answer(b);
}

// Keeps what was claimed under a handle.
TW_SLOW void tw__add_config(uint32_t handle, const tw_config *c, const tw_tariff *t, void *self) {
    if (tw__config_count == tw__config_room) {
        uint32_t room = tw__config_room ? 2 * tw__config_room : 16;
        tw__configured *more = tw_alloc(room * sizeof *more);
        tw__copy(more, tw__configs, tw__config_count * sizeof *more);
        tw__configs = more;
        tw__config_room = room;
    }
    uint32_t *carried = c->carried_count ? tw_alloc(c->carried_count * sizeof *carried) : 0;
    tw__copy(carried, c->carried, c->carried_count * sizeof *carried);
    tw__configs[handle] = (tw__configured){
        t, t->event, self, c->lines, c->lines * 32, c->cells * 16, c->carried_count, c->dimension_count, carried, c->all};
    tw__config_count += handle == tw__config_count;
}

// Reads the request in the arena, with its nodes behind it. They and the lists of what was asked share what is free.
TW_SLOW bool tw__read(uint32_t length) {
    uint32_t start = (128 + length + 15) & ~15u, room = tw__arena_size - start;
    if (start > tw__arena_size || room < length * 32) { // a request that fills the arena has its nodes elsewhere
        room = length * 32 + 65536;
        tw__doc.nodes = tw_alloc(room);
    } else
        tw__doc.nodes = (void *)(tw__arena + start);
    tw__doc.room = (int32_t)(room / 4 * 3 / sizeof(tw__node));
    tw__doc.asked = (void *)(tw__doc.nodes + tw__doc.room);
    tw__doc.asked_room = room / 4 / sizeof(tw__asked);
    tw__doc.asked_count = 0;
    tw__doc.text = tw__arena + 128;
    tw__doc.length = length;
    tw__doc.at = tw__doc.depth = 0;
    tw__doc.count = 0;
    tw__doc.problem = 0;
    if (!tw__value(-1, (tw_text){0, 0}))
        return false;
    tw__space();
    return (tw__doc.at == length && tw__at(0)->kind == TW__OBJECT) || tw__wrong("the request is not one object");
}

TW_SLOW tw_text tw__member(const char *key) {
    int32_t n = tw__child(0, tw_text_of(key));
    return n >= 0 && tw__at(n)->kind == TW__STRING ? tw__at(n)->text : (tw_text){0, 0};
}

TW_SLOW int32_t tw__unknown_tariff(tw_text name, const tw_tariff *tariffs, uint32_t count) {
    tw__problems.length = 0;
    tw__puts(&tw__problems, "tariff ");
    tw__put_quoted(&tw__problems, name);
    tw__puts(&tw__problems, " is not in this module; it has ");
    for (uint32_t i = 0; i < count; i++) {
        tw__puts(&tw__problems, i ? ", " : "");
        tw__puts(&tw__problems, tariffs[i].name);
    }
    return tw__refuse((tw_text){tw__problem_text, tw__problems.length});
}

TW_SLOW int32_t tw__configure(const tw_tariff *tariffs, uint32_t count, uint32_t handle, uint32_t length) {
    static uint32_t carried[256];
    static tw_text dimensions[16];
    if (!tw__arena || length > tw__arena_size - 128 || handle > tw__config_count)
        return tw__arena ? tw__fault("configure: there can be no handle ", handle, " or the request is too long") : 1;
    tw__problems = (tw__buffer){tw__problem_text, 0, sizeof tw__problem_text, false};
    tw__lines.length = 0;
    if (!tw__read(length))
        return tw__fault("configure: request: at byte ", tw__doc.at, tw__doc.problem ? tw__doc.problem : "");
    const tw_tariff *t = 0;
    tw_text name = tw__member("tariff");
    for (uint32_t i = 0; i < count && !t; i++)
        if (tw_text_equal(name, tw_text_of(tariffs[i].name)))
            t = &tariffs[i];
    if (!t)
        return tw__unknown_tariff(name, tariffs, count);
    tw__root = tw__child(0, tw_text_of("params"));
    if (tw__root < 0 || tw__at(tw__root)->kind != TW__OBJECT)
        return tw__refuse(tw_text_of("params: must be an object"));
    tw_config c = {.currency = tw__keep(tw__member("currency")), .carried = carried, .dimensions = dimensions};
    c.params = tw__open(&c, tw__root);
    void *self = tw_alloc(t->size);
    t->configure(&c, self);
    tw__refuse_unknown(&c);
    if (c.problem_count > 20) {
        tw__puts(&tw__problems, "; and ");
        tw__put_number(&tw__problems, c.problem_count - 20);
        tw__puts(&tw__problems, " more");
    }
    if (c.problem_count)
        return tw__refuse((tw_text){tw__problem_text, tw__problems.length});
    tw__add_config(handle, &c, t, self);
    if (!tw__undo_room)
        tw__grow_undo();
    tw__make_room();
    return tw__accept(&c);
}

TW_SLOW uint32_t tw__make_arena(uint32_t size) {
    if (tw__arena || size < 1024 || size > 1u << 30)
        return 0;
    tw__arena = tw_alloc(size);
    tw__arena_size = size;
    return (uint32_t)(uintptr_t)tw__arena;
}

#ifdef __wasm__
__attribute__((import_module("tollway_v1"), import_name("begin"))) void tw__begin(uint32_t index);
__attribute__((import_module("tollway_v1"), import_name("begin_many"))) void tw__begin_many(uint32_t index, uint32_t count);
#else
TW_INLINE void tw__begin(uint32_t index) { (void)index; }
TW_INLINE void tw__begin_many(uint32_t index, uint32_t count) { (void)index, (void)count; }
#endif

TW_INLINE tw_slot *tw__slot(uint32_t i) {
    tw__header *h = tw__head();
    return (tw_slot *)(void *)(tw__arena + h->slot_off + i * h->slot_stride);
}

// Whether a region of the header lies inside the arena.
TW_INLINE bool tw__inside(uint32_t off, uint32_t count, uint32_t stride) {
    return off + (uint64_t)count * stride <= tw__head()->arena_size;
}

// Holds the header against this version and the arena.
TW_SLOW const char *tw__check(void) {
    tw__header *h = tw__head();
    if (h->magic != 0x314c5754 || h->major != 1 || h->header_size < sizeof *h || h->arena_size > tw__arena_size)
        return "batch: the arena is of another version or size";
    if (h->n_dims > 16 || h->event_stride < 48 + 4 * h->n_dims || h->slot_stride < sizeof(tw_slot) || h->reject_stride < 192)
        return "batch: rows are narrower than this version's";
    if ((h->event_off | h->event_stride | h->slot_off | h->slot_stride | h->value_off | h->reject_off | h->reject_stride) & 15)
        return "batch: rows are not aligned";
    if (!tw__inside(h->event_off, h->n_events, h->event_stride) || !tw__inside(h->slot_off, h->n_slots, h->slot_stride) ||
        !tw__inside(h->value_off, h->n_values, 8) || !tw__inside(h->string_off, h->string_len, 1) ||
        !tw__inside(h->reject_off, h->n_rejects_max, h->reject_stride))
        return "batch: a region ends outside the arena";
    return 0;
}

// Holds a slot row against its configuration and the arena, and gives a slot without a state its first. The length
// stays 0 until an event is accepted: a slot of rejected events only is as it was.
TW_SLOW bool tw__open_slot(tw_slot *s) {
    const tw__configured *c = &tw__configs[s->handle];
    bool final = s->flags & 2;
    uint32_t carry = c->carried_count * 16;
    if (s->lines != c->lines || c->dims != tw__head()->n_dims || c->state_size > s->state_cap ||
        (s->state_len != 0 && s->state_len != c->state_size) || (s->carry_in_len != 0 && s->carry_in_len != carry) ||
        (final && s->carry_out_cap < carry) || ((s->line_off | s->state_off | s->carry_in_off | s->carry_out_off) & 15) ||
        !tw__inside(s->line_off, c->lines, 32) || !tw__inside(s->state_off, s->state_cap, 1) ||
        !tw__inside(s->carry_in_off, s->carry_in_len, 1) || !tw__inside(s->carry_out_off, s->carry_out_cap, 1))
        return false;
    if (s->state_len == 0) {
        __builtin_memset(tw__arena + s->state_off, 0, c->state_size);
        const tw_decimal *in = (const tw_decimal *)(void *)(tw__arena + s->carry_in_off);
        for (uint32_t i = 0; s->carry_in_len && i < c->carried_count; i++)
            *tw__cell_at(s, (tw_cell){c->carried[i]}) = in[i];
    }
    return true;
}

// Undoes the event at hand and notes why. Code 3: the table is full.
TW_SLOW int32_t tw__reject(uint32_t event, tw_error e) {
    tw__header *h = tw__head();
    while (tw__undone > 0) {
        tw__undone--;
        *tw__undo[tw__undone].place = tw__undo[tw__undone].was;
    }
    static const char *const reasons[8] = {
        "tariff_error", "overflow", "division_by_zero", "inexact", "tariff_error", "", "tariff_error", "tariff_error"};
    if (e != TW_REJECTED)
        tw_reject(reasons[e & 7], tw_text_of(tw__error_texts[e & 7]));
    if (h->n_rejects >= h->n_rejects_max)
        return 3;
    char *row = tw__arena + h->reject_off + h->n_rejects++ * h->reject_stride;
    *(uint32_t *)(void *)row = event;
    tw__buffer text = {row + 8, 0, 184, false};
    tw__put(&text, (tw_text){tw__reason.at, tw__reason.length});
    uint16_t *lengths = (uint16_t *)(void *)(row + 4);
    lengths[0] = (uint16_t)text.length;
    tw__put(&text, (tw_text){tw__detail.at, tw__detail.length});
    lengths[1] = (uint16_t)(text.length - lengths[0]);
    return 0;
}

TW_SLOW int32_t tw__close_slot(uint32_t index) {
    tw_slot *s = tw__slot(index);
    const tw__configured *c = &tw__configs[s->handle];
    tw__begin(tw__head()->n_events + index);
    tw_error e = c->tariff->close ? c->tariff->close(c->self, s) : TW_OK;
    if (e != TW_OK)
        return tw__fault("finish of slot ", index, e == TW_REJECTED ? ": rejected" : tw__error_texts[e & 7]);
    tw_decimal *out = (tw_decimal *)(void *)(tw__arena + s->carry_out_off);
    for (uint32_t i = 0; i < c->carried_count; i++)
        out[i] = tw_cell_get(s, (tw_cell){c->carried[i]});
    s->carry_out_len = c->carried_count * 16;
    s->state_len = c->state_size;
    tw__undone = 0;
    return 0;
}

// Opens the final slots, before the first event: a look at all slots later on would be paid from the fuel of the last.
TW_SLOW int32_t tw__open_finals(uint32_t *finals, uint32_t *count) {
    tw__header *h = tw__head();
    for (uint32_t i = 0; h->n_finals && i < h->n_slots; i++) {
        tw_slot *s = tw__slot(i);
        if (!(s->flags & 2))
            continue;
        if (s->handle >= tw__config_count || !tw__open_slot(s) || *count == h->n_finals)
            return tw__fault("slot ", i, ": does not fit its configuration");
        finals[(*count)++] = i;
    }
    return 0;
}

// How many events are announced at once, at first and at most. They share the fuel of one; those that trap together are
// priced again one by one, so this is a matter of speed alone.
#define TW__AHEAD_MIN 4
#define TW__AHEAD_MAX 64
#define TW__AHEAD_PLAIN 256 // of events whose price is all there is to them

TW_SLOW uint32_t tw__run(const tw_graduated *g, tw_slot *s, const char *row, uint32_t stride, uint32_t count);

TW_SLOW int32_t tw__price_events(void) {
    const tw__header *h = tw__head();
    const uint32_t n_events = h->n_events, n_slots = h->n_slots, stride = h->event_stride, units_max = h->units_max;
    const char *row = tw__arena + h->event_off;
    uint32_t begun = 0, ahead = TW__AHEAD_MIN, slot = UINT32_MAX; // of the event before
    const tw__configured *c = 0;
    tw_slot *s = 0;
    for (uint32_t i = 0; i < n_events; i++, row += stride) {
        if (i >= begun) {
            uint32_t n = ahead < units_max ? ahead : units_max;
            n = n < n_events - i ? n : n_events - i;
            if (n > 1)
                tw__begin_many(i, n);
            else
                tw__begin(i);
            begun = i + (n > 1 ? n : 1);
            ahead = ahead < (c && c->all ? TW__AHEAD_PLAIN : TW__AHEAD_MAX) ? 2 * ahead : ahead;
        }
        const tw_event *e = (const tw_event *)(const void *)row;
        if (e->slot != slot) {
            slot = e->slot;
            if (slot >= n_slots)
                return tw__fault("an event names slot ", slot, ", which there is not");
            s = tw__slot(slot);
            if (s->handle >= tw__config_count)
                return tw__fault("slot ", slot, ": its configuration is unknown");
            c = &tw__configs[s->handle];
        }
        if ((s->state_len != c->state_size || s->lines != c->lines) && !tw__open_slot(s))
            return tw__fault("slot ", slot, ": does not fit its configuration");
        if (c->all) {
            uint32_t done = tw__run(c->all, s, row, stride, begun - i);
            if (done > 0) {
                s->state_len = c->state_size;
                i += done - 1;
                row += (done - 1) * stride;
                continue;
            }
        }
        tw_error failed = c->event(c->self, s, e);
        if (failed != TW_OK) {
            int32_t code = tw__reject(i, failed);
            if (code != 0)
                return code;
            continue;
        }
        tw__undone = 0;
        s->state_len = c->state_size;
    }
    return 0;
}

TW_SLOW int32_t tw__price(uint32_t pointer) {
    if (!tw__arena || pointer != (uint32_t)(uintptr_t)tw__arena)
        return 1;
    const char *problem = tw__check();
    if (problem)
        return tw__fault(problem, UINT32_MAX, "");
    tw__header *h = tw__head();
    h->n_rejects = 0;
    tw__undone = 0;
    uint32_t count = 0, *finals = h->n_finals ? tw_alloc(h->n_finals * sizeof *finals) : 0;
    int32_t code = tw__open_finals(finals, &count);
    if (code == 0)
        code = tw__price_events();
    for (uint32_t i = 0; i < count && code == 0; i++)
        code = tw__close_slot(finals[i]);
    return code;
}

#ifdef __wasm__
#define TW__EXPORT(name) __attribute__((export_name(name)))
#else
#define TW__EXPORT(name) __attribute__((unused))
#endif

#define TW_MODULE(tariffs)                                                                                         \
    TW__EXPORT("tariff_abi_v1") int32_t tw__export_marker(void) { return 0; }                                      \
    TW__EXPORT("tariff_arena") uint32_t tw__export_arena(uint32_t size) { return tw__make_arena(size); }           \
    TW__EXPORT("tariff_configure") int32_t tw__export_configure(uint32_t handle, uint32_t length) {                \
        return tw__configure(tariffs, sizeof(tariffs) / sizeof((tariffs)[0]), handle, length);                     \
    }                                                                                                              \
    TW__EXPORT("tariff_price") int32_t tw__export_price(uint32_t pointer) { return tw__price(pointer); }

// ===============================================================================================================
// 4 Prices by tiers, their code

// A whole number of units at a price that is not rounded, the commonest event of all: the product needs no rounding,
// and does not leave the range. It says false for others.
TW_INLINE bool tw__plain_product(tw_decimal units, tw_decimal price, tw_rounding r, tw_decimal *out) {
    uint64_t n;
    if (r.scale != 18 || r.mode != TW_HALF_UP || (uint64_t)price.hi >> 26 != 0 || !tw__count(units, &n))
        return false;
    *out = (tw_decimal){n * price.lo, (int64_t)(n * (uint64_t)price.hi + tw__high(n, price.lo))};
    return true;
}

TW_INLINE tw_error tw_multiply(tw_decimal units, tw_decimal price, tw_rounding r, tw_decimal *out) {
    return tw__plain_product(units, price, r, out) ? TW_OK : tw_mul(units, price, r, out);
}

TW_SLOW tw_tiers tw_param_tiers(tw_params p) {
    tw_list list = tw_param_list(p, "tiers");
    if (list.count > 256)
        tw_param_fail(p, "tiers", "must be at most 256");
    tw_tiers tiers = {tw_alloc(list.count * sizeof(tw_tier)), list.count};
    tw_decimal above = TW_ZERO;
    tw_params entry;
    for (tw_tier *t = tiers.list; tw_list_next(&list, &entry); t++) {
        bool last = list.next < 0, closed = tw_param_optional_decimal(entry, "up_to", &t->up_to);
        t->price = tw_param_decimal(entry, "unit_price");
        tw_param_optional_decimal(entry, "flat_fee", &t->fee);
        t->above = above;
        t->open = last;
        if (tiers.count > 256)
            continue;
        if (!last && !closed && !tw_param_present(entry, "up_to"))
            tw_param_fail(entry, "up_to", "only the last tier is open");
        else if (last && closed)
            tw_param_fail(entry, "up_to", "must be null: the last tier is open");
        else if (!last && closed && !tw_less(above, t->up_to)) {
            char message[24 + TW_DECIMAL_TEXT_MAX] = "must be greater than ";
            message[21 + tw_format(above, 0, message + 21)] = 0;
            tw_param_fail(entry, "up_to", message);
        }
        if (closed)
            above = t->up_to;
    }
    return tiers;
}

TW_SLOW void tw_graduated_claim(tw_config *c, tw_graduated *g, tw_tiers tiers, tw_rounding r) {
    g->tiers = tiers;
    g->rounding = r;
    for (uint32_t i = 0; i < tiers.count && i < 256; i++) {
        tw_tier *t = &tiers.list[i];
        char id[32] = {0}, text[160] = {0}, number[TW_DECIMAL_TEXT_MAX];
        tw__buffer line = {id, 0, sizeof id - 1, false}, about = {text, 0, sizeof text - 1, false};
        tw__puts(&line, "tier_");
        tw__put_number(&line, i + 1);
        tw__puts(&about, "Tier ");
        tw__put_number(&about, i + 1);
        uint32_t named = about.length;
        if (i > 0) {
            tw__puts(&about, ", over ");
            tw__put(&about, (tw_text){number, tw_format(t->above, 0, number)});
        }
        if (!t->open) {
            tw__puts(&about, i > 0 ? " up to " : ", up to ");
            tw__put(&about, (tw_text){number, tw_format(t->up_to, 0, number)});
        }
        t->usage = tw_line_claim(c, id, text);
        t->has_fee = !tw_is_zero(t->fee);
        if (tw_round(t->fee, r, &t->rounded_fee) != TW_OK)
            tw_param_fail(c->params, "", "a flat fee is beyond the range when it is rounded");
        if (t->has_fee) {
            tw__puts(&line, "_flat_fee");
            about.length = named;
            tw__puts(&about, " flat fee");
            text[about.length] = 0;
            t->flat = tw_line_claim(c, id, text);
        }
    }
    g->units = tw_state_claim(c);
}

TW_INLINE uint32_t tw__tier_of(tw_tiers tiers, tw_decimal units) {
    uint32_t i = 0;
    while (i + 1 < tiers.count && tw_less(tiers.list[i].up_to, units))
        i++;
    return i;
}

// Writes the lines of tier i when there are so many units in all.
TW_SLOW TW_CHECKED tw_error tw__bill(const tw_graduated *g, tw_slot *s, uint32_t i, tw_decimal units) {
    const tw_tier *t = &g->tiers.list[i];
    tw_decimal part = TW_ZERO, amount;
    bool entered = i == 0 || tw_less(t->above, units);
    if (entered)
        TW_TRY(tw_sub(!t->open && tw_less(t->up_to, units) ? t->up_to : units, t->above, &part));
    TW_TRY(tw_multiply(part, t->price, g->rounding, &amount));
    tw_line_set(s, t->usage, part, amount);
    if (t->has_fee)
        tw_line_set(s, t->flat, entered ? TW_ONE : TW_ZERO, entered ? t->rounded_fee : TW_ZERO);
    return TW_OK;
}

// Brings all tiers from the one of before to that of after up to date.
TW_SLOW TW_CHECKED tw_error tw__climb(const tw_graduated *g, tw_slot *s, tw_decimal before, tw_decimal after) {
    uint32_t first = tw__tier_of(g->tiers, before), last = tw__tier_of(g->tiers, after);
    if (last < first) {
        uint32_t other = first;
        first = last;
        last = other;
    }
    for (uint32_t i = first; i <= last; i++)
        TW_TRY(tw__bill(g, s, i, after));
    return TW_OK;
}

// An event that begins and ends in a tier, where the units of it are no plain product.
TW_SLOW TW_CHECKED tw_error tw__extend(const tw_graduated *g, tw_slot *s, const tw_tier *t, tw_decimal part) {
    tw_decimal amount;
    TW_TRY(tw_mul(part, t->price, g->rounding, &amount));
    tw_line_set(s, t->usage, part, amount);
    return TW_OK;
}

TW_INLINE tw_error tw_graduated_add(const tw_graduated *g, tw_slot *s, tw_decimal units) {
    tw_decimal *cell = tw__cell_at(s, g->units), before = *cell, after, part, more;
    TW_TRY(tw_add(before, units, &after));
    tw__write(cell, after);
    const tw_tier *t = &g->tiers.list[tw__tier_of(g->tiers, before)];
    if (tw_sign(before) <= 0 || !tw_less(t->above, after) || (!t->open && tw_less(t->up_to, after)))
        return tw__climb(g, s, before, after);
    // From here on the units begin and end in the same tier, as nearly all do. A plain number more of them costs so
    // much more: the product is then a whole number of the last decimal place, so that rounding it adds up.
    tw_decimal *row = tw__line_at(s, t->usage), billed = row[1];
    TW_TRY(tw_add(row[0], units, &part));
    if (billed.hi < 0 || !tw__plain_product(units, t->price, g->rounding, &more))
        return tw__extend(g, s, t, part);
    TW_TRY(tw_add(billed, more, &more));
    tw__write_pair(row, part, more);
    return TW_OK;
}

// Whether every price is such that a whole number of units needs no rounding, and does not leave the range.
TW_SLOW void tw_graduated_is_all(tw_config *c, const tw_graduated *g) {
    for (uint32_t i = 0; i < g->tiers.count; i++)
        if ((uint64_t)g->tiers.list[i].price.hi >> 26 != 0)
            return;
    if (g->rounding.scale == 18 && g->rounding.mode == TW_HALF_UP)
        c->all = g;
}

// Prices events of one slot that are whole numbers of units and stay in the tier where the slot's units are, up to count
// of them, as tw_graduated_add does one by one. It returns how many it has priced; the next it has not touched.
TW_SLOW uint32_t tw__run(const tw_graduated *g, tw_slot *s, const char *row, uint32_t stride, uint32_t count) {
    tw_decimal *cell = tw__cell_at(s, g->units), units = *cell;
    const tw_tier *t = &g->tiers.list[tw__tier_of(g->tiers, units)];
    tw_decimal *line = tw__line_at(s, t->usage), part = line[0], billed = line[1];
    if (tw_sign(units) <= 0 || billed.hi < 0 || part.hi < 0)
        return 0;
    const tw_decimal top = t->open ? TW_LARGEST : t->up_to;
    const uint64_t price0 = t->price.lo, price1 = (uint64_t)t->price.hi;
    const uint32_t slot = ((const tw_event *)(const void *)row)->slot;
    uint32_t done = 0;
    for (; done < count; done++, row += stride) {
        const tw_event *e = (const tw_event *)(const void *)row;
        const uint64_t add0 = e->quantity.lo, add1 = (uint64_t)e->quantity.hi;
        const uint64_t n = tw__high((add1 << 32 | add0 >> 32) + 1, 10633823966279326984ull) >> 27; // as tw__count does
        const uint64_t more0 = n * price0, more1 = n * price1 + tw__high(n, price0);
        tw_decimal after = {units.lo + add0, 0}, grown = {part.lo + add0, 0}, sum = {billed.lo + more0, 0};
        after.hi = (int64_t)((uint64_t)units.hi + add1 + (after.lo < add0));
        grown.hi = (int64_t)((uint64_t)part.hi + add1 + (grown.lo < add0));
        sum.hi = (int64_t)((uint64_t)billed.hi + more1 + (sum.lo < more0));
        const uint64_t odd = add1 >> 31 | (n * TW__UNIT ^ add0) | (uint64_t)(after.hi | grown.hi | sum.hi) >> 63 | (e->slot ^ slot);
        const bool above = (top.hi < after.hi) | ((top.hi == after.hi) & (top.lo < after.lo));
        if (odd | above)
            break;
        units = after;
        part = grown;
        billed = sum;
    }
    *cell = units;
    line[0] = part;
    line[1] = billed;
    return done;
}

TW_SLOW tw_error tw_graduated_close(const tw_graduated *g, tw_slot *s) { return tw__bill(g, s, 0, tw_cell_get(s, g->units)); }

TW_SLOW tw_error tw_graduated_cost(tw_tiers tiers, tw_decimal units, tw_sum *out) {
    tw_sum sum = {0, 0, 0, 0};
    for (uint32_t i = 0; i < tiers.count; i++) {
        const tw_tier *t = &tiers.list[i];
        if (i > 0 && !tw_less(t->above, units))
            break;
        tw_decimal part;
        TW_TRY(tw_sub(!t->open && tw_less(t->up_to, units) ? t->up_to : units, t->above, &part));
        TW_TRY(tw_sum_add(sum, tw_product(part, t->price), &sum));
        TW_TRY(tw_sum_add(sum, tw_product(TW_ONE, t->fee), &sum));
    }
    *out = sum;
    return TW_OK;
}

#endif
