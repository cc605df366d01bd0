# A short front for CMake. `make run` and `make test` install what they need (Debian 12).
#
#   make run     build, then start torcd here (ARGS="--port 7500" passes flags)
#   make test    build, then all tests (SUITES="unit client" picks some)
#   make check   format, include rules, headers alone, core symbols, generated files
#   make asan | tsan               unit tests under sanitizers
#   make fuzz SECONDS=300          each fuzz target for so long
#   make crash ROUNDS=1000         kill -9 under load
#   make sim-bugs                  planted bugs that the simulator must find (ARGS="--recorded")
#   make sim SEEDS=200             seeds in the simulator (WORKLOAD=toy; ARGS="--shrink")
#   make simulate                  what CI runs of the simulator
#   make bench                     against redis-server, writes docs/BENCHMARKS.md
#   make install PREFIX=/usr DESTDIR=...
#   make format | clean
PRESET  ?= release
BUILD   ?= build/$(PRESET)
PREFIX  ?= /usr/local
SECONDS ?= 60
ROUNDS  ?= 1000
SEEDS   ?= 200

.PHONY: build
build: configure
	cmake --build $(BUILD) --target programs

.PHONY: configure
configure:
	tools/deps build
	cmake --preset $(PRESET) -B $(BUILD) -DCMAKE_INSTALL_PREFIX=$(PREFIX) --log-level=WARNING

.PHONY: run
run: build
	@echo
	@echo 'torcd is starting. Talk to it from another terminal:'
	@echo '    echo "PUT nickname codejitsu" | nc -q1 localhost 7400'
	@echo '    $(BUILD)/torc get nickname'
	@echo '    redis-cli -p 7400 get nickname'
	@echo 'Data is kept in ./torc-data. Ctrl-C flushes and stops.'
	@echo
	@exec $(BUILD)/torcd $(ARGS)

.PHONY: all
all: configure
	tools/deps test
	cmake --build $(BUILD)

.PHONY: test
test: all
	TORC_BUILD=$(BUILD) test/run $(SUITES)

.PHONY: check
check: configure
	tools/deps check
	cmake --build $(BUILD) --target libraries
	TORC_BUILD=$(BUILD) tools/check

.PHONY: asan tsan
asan tsan:
	tools/deps test
	cmake --preset $@ --log-level=WARNING
	cmake --build --preset $@
	TORC_BUILD=build/$@ test/run unit

.PHONY: fuzz
fuzz:
	tools/deps fuzz
	cmake --preset fuzz --log-level=WARNING
	cmake --build --preset fuzz --target fuzzers
	TORC_BUILD=build/fuzz tools/fuzz $(SECONDS)

.PHONY: crash
crash: all
	TORC_BUILD=$(BUILD) test/crash $(ROUNDS)

.PHONY: sim
sim: configure
	cmake --build $(BUILD) --target torc-sim
	$(BUILD)/torc-sim $(if $(WORKLOAD),--workload $(WORKLOAD)) --seeds $(SEEDS) --shrink $(ARGS)

.PHONY: sim-bugs
sim-bugs:
	tools/deps build
	cmake --preset planted --log-level=WARNING
	cmake --build --preset planted --target torc-sim
	tools/sim-bugs $(ARGS)

# What CI runs of the simulator.
.PHONY: simulate
simulate: configure
	cmake --build $(BUILD) --target torc-sim
	cmake --preset planted --log-level=WARNING
	cmake --build --preset planted --target torc-sim
	TORC_BUILD=$(BUILD) test/simulate

.PHONY: bench
bench: build
	tools/deps bench
	TORC_BUILD=$(BUILD) bench/run

.PHONY: install
install: build
	cmake --install $(BUILD)

.PHONY: format
format:
	tools/check-format --fix

.PHONY: clean
clean:
	rm -rf build
