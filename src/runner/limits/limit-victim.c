/* SPDX-License-Identifier: MIT */
#include <systemd/sd-journal.h>

#include "runner/limits/limit-victim.h"

/* A report of the kernel's has some hundred lines, and this one is near its end. */
#define LINES_MAX 2000

void limit_victim_done(LimitVictim *v) {
        free(v->name);
        free(v->limit);
        *v = (LimitVictim){};
}

/* The value behind key in a list "key=value,key=value"; it ends at the next comma. */
static bool find_value(const char *list, const char *key, const char **ret, size_t *ret_size) {
        const char *at = strstr(list, key);

        if (!at)
                return false;
        *ret = at + strlen(key);
        *ret_size = strcspn(*ret, ",");
        return true;
}

bool limit_victim_parse(const char *line, const char *cgroup, LimitVictim *ret) {
        const char *group, *limit, *name, *end = NULL;
        size_t size, limit_size, n = strlen(cgroup);

        if (!startswith(line, "oom-kill:") || !find_value(line, ",task_memcg=", &group, &size))
                return false;
        if (size < n || strncmp(group, cgroup, n) != 0 || (size > n && group[n] != '/'))
                return false;
        /* The name may hold anything, ",pid=" too: it ends at the last of those. */
        name = strstr(group + size, ",task=");
        if (!name)
                return false;
        name += strlen(",task=");
        for (const char *p = name; (p = strstr(p, ",pid=")); p++)
                end = p;
        if (!end)
                return false;
        *ret = (LimitVictim){ .name = strndup(name, (size_t) (end - name)) };
        /* Before the task's, so it is not a name that an agent chose. */
        if (find_value(line, ",oom_memcg=", &limit, &limit_size) && limit < group)
                ret->limit = strndup(limit, limit_size);
        return ret->name != NULL;
}

static bool entry_is_victim(sd_journal *j, const char *cgroup, LimitVictim *ret) {
        _cleanup_free_ char *line = NULL;
        const void *data;
        size_t size;

        if (sd_journal_get_data(j, "MESSAGE", &data, &size) < 0 || size <= strlen("MESSAGE="))
                return false;
        line = strndup((const char *) data + strlen("MESSAGE="), size - strlen("MESSAGE="));
        return line && limit_victim_parse(line, cgroup, ret);
}

int limit_victim_find(const char *cgroup, uint64_t since_usec, LimitVictim *ret) {
        sd_journal *j = NULL;
        uint64_t at;
        int r;

        r = sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM);
        if (r < 0)
                return 0;
        r = sd_journal_add_match(j, "_TRANSPORT=kernel", 0);
        if (r >= 0)
                r = sd_journal_seek_tail(j);
        for (unsigned n = 0; r >= 0 && n < LINES_MAX; n++) {
                r = sd_journal_previous(j);
                if (r <= 0 || sd_journal_get_realtime_usec(j, &at) < 0 || at < since_usec)
                        break;
                if (entry_is_victim(j, cgroup, ret)) {
                        sd_journal_close(j);
                        return 1;
                }
        }
        sd_journal_close(j);
        return 0;
}
