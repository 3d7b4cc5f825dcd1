/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "runner/host/admission.h"

static const char calm[] =
        "some avg10=0.00 avg60=80.00 avg300=0.00 total=0\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=0\n";

/* A folder as /proc is; NULL: the file is not there. */
static AdmissionMeasurements measure(const char *meminfo, const char *memory, const char *cpu) {
        char path[] = "/tmp/test-admission-XXXXXX";
        _cleanup_close_ int fd = -EBADF, pressure = -EBADF;
        AdmissionMeasurements f;

        assert_non_null(mkdtemp(path));
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        if (meminfo)
                assert_int_equal(write_file_atomic_at(fd, "meminfo", meminfo, strlen(meminfo), 0600), 0);
        if (memory || cpu)
                pressure = mkdir_open_at(fd, "pressure", 0700);
        if (memory)
                assert_int_equal(write_file_atomic_at(pressure, "memory", memory, strlen(memory), 0600), 0);
        if (cpu)
                assert_int_equal(write_file_atomic_at(pressure, "cpu", cpu, strlen(cpu), 0600), 0);
        admission_measure(fd, &f);
        assert_int_equal(remove_tree_at(AT_FDCWD, path), 0);
        return f;
}

static void figures_of_the_kernel(void **state) {
        AdmissionMeasurements f = measure(
                "MemTotal:       2048 kB\nMemFree:         100 kB\nMemAvailable:    1024 kB\n",
                "some avg10=12.34 avg60=0.00 avg300=0.00 total=1\n",
                "some avg10=100.00 avg60=0.00 avg300=0.00 total=1\n");

        assert_true(f.has_memory && f.has_memory_pressure && f.has_cpu_pressure);
        assert_int_equal(f.memory_available, 1024 * 1024);
        assert_int_equal(f.memory_pressure, 1234);
        assert_int_equal(f.cpu_pressure, 10000);
}

static void figures_that_are_not_there(void **state) {
        static const char *const bad[] = {
                "",
                "some",
                "some avg10=",
                "some avg10=x",
                "some avg10=1",
                "some avg10=1.2 ",
                "some avg10=1.234",
                "some avg10=101.00",
                "some avg10=99999999999999999999999999.00",
                "full avg10=1.00",
        };
        AdmissionMeasurements f = measure(NULL, NULL, NULL);

        assert_false(f.has_memory || f.has_memory_pressure || f.has_cpu_pressure);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                f = measure("MemTotal: 1 kB\n", bad[i], bad[i]);
                if (f.has_memory || f.has_memory_pressure || f.has_cpu_pressure)
                        fail_msg("\"%s\" is taken for a figure", bad[i]);
        }
        f = measure("MemTotal: 1 kB\nMemAvailable: 99999999999999999999 kB\n", NULL, NULL);
        assert_false(f.has_memory);
        f = measure("MemTotal: 1 kB\nMemAvailable: 1 MB\n", NULL, NULL);
        assert_false(f.has_memory);
}

static void judgements(void **state) {
        static const char plenty[] = "MemTotal: 9 kB\nMemAvailable: 1048576 kB\n",
                          little[] = "MemTotal: 9 kB\nMemAvailable: 1023 kB\n",
                          busy[] = "some avg10=60.01 avg60=0.00 avg300=0.00 total=1\n",
                          just[] = "some avg10=60.00 avg60=0.00 avg300=0.00 total=1\n";
        static const struct {
                const char *meminfo, *memory, *cpu, *reason, *text;
        } cases[] = {
                { plenty, calm, calm, "", NULL },
                { little,
                  calm,
                  calm,
                  "memory",
                  "0 MiB of memory are available, less than minFreeMemoryBytes (1 MiB) requires" },
                { plenty,
                  busy,
                  calm,
                  "memory-pressure",
                  "processes wait for memory 60.01 % of the time, more than maxMemoryPressurePercent (60)" },
                { plenty,
                  calm,
                  busy,
                  "cpu-pressure",
                  "processes wait for a processor 60.01 % of the time, more than maxCpuPressurePercent (60)" },
                { plenty, just, just, "", NULL },
                { little, busy, busy, "memory", NULL },
                { NULL, NULL, NULL, "", NULL },
        };
        const AdmissionBounds bounds = {
                .min_free_memory = 1 << 20,
                .max_memory_pressure = 60,
                .max_cpu_pressure = 60,
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                AdmissionMeasurements f = measure(cases[i].meminfo, cases[i].memory, cases[i].cpu);
                Admission a = admission_judge(&f, &bounds);
                _cleanup_free_ char *text = admission_explain(a, &f, &bounds);

                if (!streq(admission_to_string(a), cases[i].reason))
                        fail_msg("case %zu: %s", i, admission_to_string(a));
                if (cases[i].text)
                        assert_string_equal(text, cases[i].text);
                /* Without bounds nothing is too much. */
                assert_int_equal(admission_judge(&f, &(AdmissionBounds){}), ADMISSION_OPEN);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(figures_of_the_kernel),
                cmocka_unit_test(figures_that_are_not_there),
                cmocka_unit_test(judgements),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
