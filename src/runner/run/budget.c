/* SPDX-License-Identifier: MIT */
#include "runner/run/budget.h"

static const char *const whole_members[] = { "tokens", "turns" };

static int refuse(char **ret_error, const char *name, const char *why) {
        *ret_error = xasprintf("budget.%s %s", name, why);
        return *ret_error ? -EINVAL : -ENOMEM;
}

static bool is_whole(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(whole_members); i++)
                if (streq(name, whole_members[i]))
                        return true;
        return false;
}

int budget_check(Json *budget, char **ret_error) {
        json_object_object_foreach(budget, name, value) {
                bool number = json_object_is_type(value, json_type_int) ||
                        json_object_is_type(value, json_type_double);

                if (streq(name, "usd")) {
                        if (!number || !(json_object_get_double(value) > 0))
                                return refuse(ret_error, name, "is not a number above 0");
                } else if (is_whole(name)) {
                        if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) <= 0)
                                return refuse(ret_error, name, "is not a whole number above 0");
                } else
                        return refuse(ret_error, name, "is not known: there are usd, tokens and turns");
        }
        return 0;
}

const char *budget_spent(Json *budget, const DriverUsage *usage) {
        uint64_t turns = 0, tokens = 0;
        Json *usd = json_get(budget, "usd");

        if (!budget || usage->turns == 0)
                return NULL;
        if (usd && usage->has_cost && usage->cost_usd >= json_object_get_double(usd))
                return "usd";
        if (json_get_u64(budget, "tokens", &tokens) > 0 &&
            usage->input_tokens + usage->output_tokens + usage->cache_write_tokens >= tokens)
                return "tokens";
        if (json_get_u64(budget, "turns", &turns) > 0 && usage->turns >= turns)
                return "turns";
        return NULL;
}
