// The tariff that does what a case of the shared file asks for, in C.
#include "tollway_tariff.h"

enum { PARSE, FORMAT, COMPARE, NEG, ABS, ADD, SUB, MUL, QUO, ROUND, MUL_QUO, SUM };
static const char *const operations[] = {"parse", "format", "compare", "neg", "abs", "add", "sub", "mul", "quo", "round", "mul_quo", "sum", 0};

typedef struct {
    int operation;
    tw_rounding rounding;
    int64_t n;
    tw_dimension text;
    tw_line result;
    tw_cell sum;
} conformance;

static void configure(tw_config *c, void *self) {
    static const char *const modes[] = {"none", "half_up", "half_even", "floor", "ceiling", 0};
    conformance *t = self;
    t->operation = tw_param_choice(c->params, "operation", operations);
    t->n = tw_param_int_or(c->params, "n", INT64_MIN, INT64_MAX, 0);
    t->rounding.scale = (int32_t)tw_param_int_or(c->params, "scale", -100, 100, 0);
    t->rounding.mode = (tw_mode)tw_param_choice_or(c->params, "mode", modes, TW_NONE);
    t->text = tw_dimension_claim(c, tw_text_of("text"));
    t->result = tw_line_claim(c, "result", "Result");
    t->sum = tw_state_claim(c);
    tw_state_claim(c); // a sum takes two
}

static tw_error sum(conformance *t, tw_slot *s, tw_decimal a, tw_decimal b, tw_decimal *out) {
    tw_sum sum;
    TW_TRY(tw_sum_add(tw_cell_sum(s, t->sum), tw_product(a, b), &sum));
    tw_cell_set_sum(s, t->sum, sum);
    return tw_sum_quo(sum, t->n, t->rounding, out);
}

static tw_error operate(conformance *t, tw_slot *s, const tw_event *e, tw_decimal *out) {
    char text[TW_DECIMAL_TEXT_MAX];
    tw_decimal a = e->quantity, b = e->amount;
    switch (t->operation) {
    case PARSE: return tw_parse(tw_value(e, t->text), out);
    case FORMAT: return tw_reject("text", (tw_text){text, tw_format(a, t->rounding.scale, text)});
    case COMPARE: *out = tw_decimal_of(tw_compare(a, b)); return TW_OK;
    case NEG: return tw_neg(a, out);
    case ABS: return tw_abs(a, out);
    case ADD: return tw_add(a, b, out);
    case SUB: return tw_sub(a, b, out);
    case MUL: return tw_mul(a, b, t->rounding, out);
    case QUO: return tw_quo(a, b, t->rounding, out);
    case ROUND: return tw_round(a, t->rounding, out);
    case MUL_QUO: return tw_mul_quo(a, b, t->n, t->rounding, out);
    default: return sum(t, s, a, b, out);
    }
}

static tw_error event(void *self, tw_slot *s, const tw_event *e) {
    conformance *t = self;
    tw_decimal result;
    tw_error failed = operate(t, s, e, &result);
    switch (failed) {
    case TW_OK: break;
    case TW_SYNTAX: return tw_reject("syntax", tw_value(e, t->text));
    case TW_TOO_PRECISE: return tw_reject("too_precise", tw_value(e, t->text));
    case TW_INVALID_ROUNDING: return tw_reject("invalid_rounding", tw_text_of(""));
    default: return failed;
    }
    tw_line_set(s, t->result, result, TW_ZERO);
    return TW_OK;
}

static const tw_tariff tariffs[] = {{"conformance", sizeof(conformance), configure, event, 0}};
TW_MODULE(tariffs)
