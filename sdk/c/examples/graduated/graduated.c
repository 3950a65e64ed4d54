// graduated spreads units over tiers: each part has its tier's price, and the flat fees of all entered tiers are due.
// It is the twin of the tariff of that name in examples/tariffs/standard, with all its parameters: units may be
// converted first, some may be free, and usage may be billed in advance, each event when it arrives.
#include "tollway_tariff.h"

typedef struct {
    // Units: what is left of the metered ones after their conversion and the free ones.
    bool net, converted, multiplied;
    tw_decimal factor, free;
    tw_rounding conversion;
    tw_cell metered, billed;
    // Their price.
    bool in_advance;
    tw_rounding rounding;
    tw_graduated arrears;
    tw_tiers tiers;
    tw_line usage;
    tw_cell peak, begun;
} graduated;

// Reads what turns metered units into billed ones.
static void read_units(tw_config *c, graduated *t) {
    static const char *const operations[] = {"multiply", "divide", 0};
    static const char *const roundings[] = {"none", "half_up", "half_even", "floor", "ceiling", 0};
    tw_params conversion, discounts;
    t->converted = tw_param_optional_object(c->params, "unit_conversion", &conversion);
    bool discounted = tw_param_optional_object(c->params, "discounts", &discounts);
    if (t->converted) {
        t->multiplied = tw_param_choice(conversion, "operation", operations) == 0;
        t->factor = tw_param_decimal(conversion, "factor");
        if (tw_sign(t->factor) <= 0)
            tw_param_fail(conversion, "factor", "must be greater than 0");
        int mode = tw_param_choice_or(conversion, "rounding", roundings, TW_NONE);
        int64_t places = tw_param_int_or(conversion, "precision", -20, 18, 0);
        t->conversion = mode == TW_NONE ? TW_EXACT : (tw_rounding){(int32_t)places, (tw_mode)mode};
    }
    if (discounted)
        tw_param_optional_decimal(discounts, "usage", &t->free);
    if (tw_sign(t->free) < 0)
        tw_param_fail(discounts, "usage", "must not be below 0");
    t->net = t->converted || !tw_is_zero(t->free);
}

static void configure(tw_config *c, void *self) {
    static const char *const bills[] = {"arrears", "progressive", "in_advance", 0};
    graduated *t = self;
    t->in_advance = tw_param_choice_or(c->params, "billing", bills, 0) == 2;
    t->rounding = tw_param_rounding(c->params, "rounding");
    read_units(c, t);
    t->tiers = tw_param_tiers(c->params);
    if (t->in_advance) {
        t->usage = tw_line_claim(c, "usage", "Usage");
        t->peak = tw_state_claim(c);
        t->begun = tw_state_claim(c);
    } else
        tw_graduated_claim(c, &t->arrears, t->tiers, t->rounding);
    if (t->net) {
        t->metered = tw_state_claim(c);
        t->billed = tw_state_claim(c);
    } else if (!t->in_advance)
        tw_graduated_is_all(c, &t->arrears);
}

// An event costs by how much it raises the cost of the most units there ever were. A fall is not refunded, and what
// rises again up to the old peak is free. The first event pays the flat fee of the first tier.
TW_SLOW tw_error add_in_advance(graduated *t, tw_slot *s, tw_decimal more) {
    tw_decimal units, amount, before = tw_cell_get(s, t->peak), after = before;
    tw_sum charge, paid;
    TW_TRY(tw_add(tw_line_quantity(s, t->usage), more, &units));
    if (tw_less(before, units))
        after = units;
    TW_TRY(tw_graduated_cost(t->tiers, after, &charge));
    if (tw_cell_int(s, t->begun)) {
        TW_TRY(tw_graduated_cost(t->tiers, before, &paid));
        TW_TRY(tw_sum_sub(charge, paid, &charge));
    }
    TW_TRY(tw_sum_quo(charge, 1, t->rounding, &amount));
    TW_TRY(tw_add(tw_line_amount(s, t->usage), amount, &amount));
    tw_cell_set_int(s, t->begun, 1);
    tw_cell_set(s, t->peak, after);
    tw_line_set(s, t->usage, units, amount);
    return TW_OK;
}

// By how much an event changes the net units of its slot: conversion and free units apply to the sum of the period.
TW_SLOW tw_error net_units(graduated *t, tw_slot *s, tw_decimal quantity, tw_decimal *out) {
    tw_decimal units;
    TW_TRY(tw_add(tw_cell_get(s, t->metered), quantity, &units));
    tw_cell_set(s, t->metered, units);
    if (t->converted && t->multiplied)
        TW_TRY(tw_mul(units, t->factor, t->conversion, &units));
    else if (t->converted)
        TW_TRY(tw_quo(units, t->factor, t->conversion, &units));
    if (tw_sign(units) > 0) {
        TW_TRY(tw_sub(units, t->free, &units));
        if (tw_sign(units) < 0)
            units = TW_ZERO;
    }
    TW_TRY(tw_sub(units, tw_cell_get(s, t->billed), out));
    tw_cell_set(s, t->billed, units);
    return TW_OK;
}

static tw_error event(void *self, tw_slot *s, const tw_event *e) {
    graduated *t = self;
    tw_decimal units = e->quantity;
    if (t->net)
        TW_TRY(net_units(t, s, units, &units));
    if (t->in_advance)
        return add_in_advance(t, s, units);
    return tw_graduated_add(&t->arrears, s, units);
}

static tw_error close(void *self, tw_slot *s) {
    graduated *t = self;
    return t->in_advance ? TW_OK : tw_graduated_close(&t->arrears, s);
}

static const tw_tariff tariffs[] = {{"graduated", sizeof(graduated), configure, event, close}};
TW_MODULE(tariffs)
