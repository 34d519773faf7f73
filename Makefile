# What a person, and CI, does with reeld. Each target first installs what is missing (.ci/need).
#
#   make run      the daemon on its embedded defaults; data in ./reeld-data. ARGS="--listen …" adds flags
#   make test     all that CI checks: make check, then every test
#   make check    format, lints, documentation, dependencies, the unit's exposure: all but the tests
#   make torture  200 rounds of kills and 200 torn states; ROUNDS, STATES, SEED; docs/ref/reliability.md
#   make soak     the daemon for MINUTES=20 under CALLS=200 with faults mixed in, after hours of virtual time
#   make seeds    the capture core under many more seeds of the bad network; SEEDS=20000
#   make fuzz     each fuzz target for FUZZ_SECONDS=120
#   make seeded   what of the targets' corpora reaches more code, into fuzz/seeds, at most 100 KiB a target
#   make nightly  all of these for long, in the background; goes on where it was stopped
#   make bench    the measurements of docs/ref/performance.md, held to their bounds; 45 minutes, on a quiet machine
#   make flood    200,000 packets a second at one port for a minute, beside calls that are held exact
#   make asan     the tests of what has unsafe, and of the catalog's engine, under the address sanitizer; wants a nightly Rust
#   make loom     what threads share, in every order of their steps (tests/loom)
#   make scores   PESQ after random loss, beside ffmpeg and GStreamer (tests/scores/scores.py); 10 minutes
#   make voice    early and late ends in noise, beside other detectors (tests/scores/voice_activity); 3 minutes
#   make sbom     what the program is made of, target/reeld.cdx.json (CycloneDX); the same bytes each time
#   make deb      the Debian package, target/debian/reeld_*.deb; the same bytes each time
#   make package  the package installed, upgraded, removed and purged in a Debian of its own, and a call recorded
#                 over a restart and an upgrade under that Debian's systemd; as root
#   make install  binary, unit, configuration and sysusers under DESTDIR and PREFIX

PREFIX ?= /usr/local
DESTDIR ?=
ARGS ?=
CARGO ?= cargo
SEEDS ?= 20000
FUZZ_SECONDS ?= 120
ROUNDS ?= 200
STATES ?= 200
SEED ?= 1
MINUTES ?= 20
CALLS ?= 200
NIGHTLY ?= nightly
CARGO_DEB ?= 3.8.0
CARGO_CYCLONEDX ?= 0.5.9

# Debian's names. What the build links, and beside it what the tests call.
BUILD_PACKAGES := build-essential pkg-config cmake libmp3lame-dev libopus-dev
TEST_PACKAGES := $(BUILD_PACKAGES) ffmpeg lame opus-tools sip-tester rtpengine-daemon curl espeak-ng nginx-light python3 \
	python3-venv python3-pylibsrtp nodejs npm bubblewrap libfuse3-dev socat

# What make bench measures beside.
BENCH_PACKAGES := ffmpeg lame nginx-light gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good

# Twilio's own SDKs, which judge the API (tests/src/sdk.rs): of each language today's and an old one,
# and the one of 2011. Beside them what reads our own description of it and asks for all of it
# (tests/tests/schemathesis.rs).
SDKS := twilio-9 twilio-6 twilio-node-6 twilio-node-3 twilio-2 schemathesis


# What make scores calls beside: the other receivers, recorded speech, and Python that can build pesq.
SPEECH := $(foreach language,en es fr it ru,asterisk-core-sounds-$(language)-wav)
SCORES_PACKAGES := $(BUILD_PACKAGES) ffmpeg gstreamer1.0-tools gstreamer1.0-plugins-base \
	gstreamer1.0-plugins-good gstreamer1.0-plugins-bad $(SPEECH) python3 python3-venv python3-dev

# This machine's kind, as Rust calls it, and the commit's time, for what has to be the same bytes each time.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
COMMITTED = $(shell git log -1 --format=%ct)

.PHONY: run test check torture soak seeds fuzz seeded nightly bench flood asan loom scores voice sbom deb package install \
	build-tools test-tools release fmt locks clippy doc deny exposure

run: build-tools
	$(CARGO) run --locked --release --bin reeld -- serve $(ARGS)

test: test-tools check $(SDKS:%=target/sdk-%/installed)
	$(CARGO) test --locked --workspace --no-fail-fast

check: fmt locks clippy doc deny exposure

seeds: build-tools
	SEEDS=$(SEEDS) $(CARGO) test --locked -p reeld-network --test seeds --test exact -- --nocapture

# Each keeps its tally in target/torture and goes on from it; who wants a new run removes that.
LONG = SEED=$(SEED) TALLY=$(CURDIR)/target/torture/$(1).json $(2) \
	$(CARGO) test --locked -p reeld-tests --test $(3) -- --nocapture

torture: test-tools
	$(call LONG,kills,ROUNDS=$(ROUNDS),torture)
	$(call LONG,power-loss,STATES=$(STATES),power_loss)

soak: test-tools
	$(CARGO) test --locked -p reeld-network --test hours -- --nocapture
	$(call LONG,soak,MINUTES=$(MINUTES) CALLS=$(CALLS),soak)

# No cargo-fuzz: a target is a program with libFuzzer in it, built with the flags that cargo-fuzz gives.
FUZZ_TARGETS := rtp rtcp sdp twiml pcap encrypted sip multipart rs_metadata audiosocket ng call
FUZZ_FLAGS := --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=1 -Zsanitizer=address
# Where no nightly is installed the stable compiler takes the same -Z flags: it has the sanitizer's runtime too.
FUZZ_CARGO = $(shell rustup run $(NIGHTLY) true 2>/dev/null && echo rustup run $(NIGHTLY) cargo || echo RUSTC_BOOTSTRAP=1 cargo)

fuzz: build-tools
	cd fuzz && RUSTFLAGS='$(FUZZ_FLAGS)' $(FUZZ_CARGO) build --locked --release --target $(HOST)
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/corpus/$$target fuzz/artifacts/$$target && \
		fuzz/target/$(HOST)/release/$$target -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=1024 -max_len=8192 -len_control=0 \
			-artifact_prefix=fuzz/artifacts/$$target/ fuzz/corpus/$$target $$(ls -d fuzz/seeds/$$target 2>/dev/null) || exit 1; \
	done

# The fewest inputs that reach all that the corpus and the seeds do, the smallest first. A seed with a name of its own,
# which no fuzzer gives, was made by hand and stays.
seeded:
	@for target in $(FUZZ_TARGETS); do \
		kept=fuzz/target/kept/$$target; seeds=fuzz/seeds/$$target; \
		rm -rf $$kept && mkdir -p $$kept $$seeds fuzz/corpus/$$target && \
		fuzz/target/$(HOST)/release/$$target -set_cover_merge=1 -max_len=8192 -rss_limit_mb=1024 \
			$$kept fuzz/corpus/$$target $$seeds 2>$$kept.log || { tail -n 20 $$kept.log; exit 1; }; \
		find $$seeds -type f -regextype posix-extended -regex '.*/[0-9a-f]{40}' -delete; \
		find $$kept -type f -printf '%s %p\n' | sort -n | \
			awk '(sum += $$1) <= 102400 { print $$2 }' | xargs -r cp -t $$seeds; \
		echo "$$target: $$(ls $$seeds | wc -l) of $$(ls fuzz/corpus/$$target | wc -l), $$(cat $$seeds/* | wc -c) bytes"; \
	done

# All of it in the background, one after the other, with what it says in target/torture/nightly.log. Bounds:
# 2,000 rounds and states, two hours of soak, half an hour a fuzz target. What fails stops none of the others.
nightly: test-tools
	@mkdir -p target/torture
	@nohup sh -c 'for one in "torture ROUNDS=2000 STATES=2000" "soak MINUTES=120" \
		"seeds SEEDS=200000" "fuzz FUZZ_SECONDS=1800"; do \
		timeout 6h $(MAKE) $$one && echo "nightly: passed: $$one" || echo "nightly: FAILED: $$one"; \
	done' >target/torture/nightly.log 2>&1 & \
	echo "nightly: process $$!, target/torture/nightly.log"

# All measurements run, whatever one of them misses; docs/ref/performance.md is made from what they wrote. 45 minutes.
bench: release
	@.ci/need $(BENCH_PACKAGES)
	@mkdir -p target/bench
	@missed=; \
	measure() { \
		echo "bench $$*"; file=target/bench/$$1.json; shift; \
		target/release/reeld bench "$$@" --json $(ARGS) >$$file || missed="$$missed $$file"; \
	}; \
	measure capture capture --calls 500 --seconds 60 --runs 5 --peer ffmpeg --peer gstreamer --check; \
	measure full capture --calls 2500 --seconds 60 --runs 5 --check; \
	measure busy capture --calls 2500 --seconds 60 --encode --bundle 3 --check; \
	measure growth growth --check; \
	measure end end; \
	measure siprec siprec; \
	measure stall stall; \
	measure encode encode; \
	measure catalog catalog; \
	measure http http; \
	target/release/reeld bench document target/bench >target/bench/performance.md && \
	mkdir -p docs/ref/performance && cp target/bench/*.json docs/ref/performance/ && \
	cp target/bench/performance.md docs/ref/performance.md && \
	if test -n "$$missed"; then echo "bench: missed, or not measured:$$missed"; exit 1; fi

flood: release
	target/release/reeld bench flood --seconds 60 $(ARGS)

# Ours that has unsafe, and the store for sled's; LAME and Opus are the system's, whose memory is watched all the same. The
# sanitizer's runtime is said to be missing before anything is built, for else only the linker would say so.
ASAN_CRATES := reeld-codec reeld-ingest reeld-store
asan: build-tools
	@runtime=$$(rustup run $(NIGHTLY) rustc --print target-libdir 2>/dev/null)/librustc-$(NIGHTLY)_rt.asan.a; test -f "$$runtime" || { \
		echo "asan: there is no $(NIGHTLY) Rust with the address sanitizer: rustup toolchain install $(NIGHTLY)" >&2; exit 1; }
	RUSTFLAGS='-Zsanitizer=address -Cforce-frame-pointers=yes' CARGO_TARGET_DIR=target/asan \
		ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1 \
		LSAN_OPTIONS=suppressions=$(CURDIR)/tests/asan.supp:print_suppressions=0 \
		rustup run $(NIGHTLY) cargo test --locked --no-fail-fast --target $(HOST) $(ASAN_CRATES:%=-p %) --lib --tests $(ARGS)

loom: build-tools
	CARGO_TARGET_DIR=target/loom $(CARGO) run --locked --release --manifest-path tests/loom/Cargo.toml

scores: release target/scores-venv/installed
	target/scores-venv/bin/python tests/scores/scores.py --reeld target/release/reeld $(ARGS)

voice: build-tools
	@.ci/need $(SPEECH)
	CARGO_TARGET_DIR=target $(CARGO) run --locked --release --manifest-path tests/scores/voice_activity/Cargo.toml

target/scores-venv/installed: tests/scores/requirements.txt
	@.ci/need $(SCORES_PACKAGES)
	python3 -m venv target/scores-venv
	target/scores-venv/bin/pip install -q -r tests/scores/requirements.txt
	touch $@

# Versions are pinned in the file; a lock file would name the registry's hosts.
target/sdk-%/installed: tests/sdk/%.json
	@.ci/need nodejs npm
	@mkdir -p target/sdk-$*
	cp tests/sdk/$*.json target/sdk-$*/package.json
	npm install --prefix target/sdk-$* --no-package-lock --no-audit --no-fund --loglevel=error
	touch $@

target/sdk-%/installed: tests/sdk/%.txt
	@.ci/need python3 python3-venv
	python3 -m venv target/sdk-$*
	target/sdk-$*/bin/pip install -q -r tests/sdk/$*.txt
	touch $@

# An existing configuration is the operator's: it stays as it is.
install: release
	install -D -m 755 target/release/reeld '$(DESTDIR)$(PREFIX)/bin/reeld'
	install -d '$(DESTDIR)$(PREFIX)/lib/systemd/system' '$(DESTDIR)$(PREFIX)/lib/sysusers.d' \
		'$(DESTDIR)$(PREFIX)/lib/sysctl.d'
	sed 's|/usr/local/bin/reeld|$(PREFIX)/bin/reeld|' systemd/reeld.service \
		> '$(DESTDIR)$(PREFIX)/lib/systemd/system/reeld.service'
	install -D -m 644 systemd/reeld.socket '$(DESTDIR)$(PREFIX)/share/doc/reeld/examples/reeld.socket'
	install -m 644 systemd/reeld.sysusers '$(DESTDIR)$(PREFIX)/lib/sysusers.d/reeld.conf'
	install -m 644 systemd/reeld.sysctl '$(DESTDIR)$(PREFIX)/lib/sysctl.d/60-reeld.conf'
	test -e '$(DESTDIR)/etc/reeld/reeld.toml' || \
		install -D -m 644 systemd/reeld.toml '$(DESTDIR)/etc/reeld/reeld.toml'

# cargo-cyclonedx, for it is the OWASP project's own, leaves the serial number out once a time is given, and gives each
# crate's checksum and licence (cargo-sbom has a random identity in each file, cargo-auditable no licences).
sbom:
	@.ci/need python3
	@command -v cargo-cyclonedx >/dev/null || $(CARGO) install --locked cargo-cyclonedx@$(CARGO_CYCLONEDX)
	SOURCE_DATE_EPOCH=$(COMMITTED) $(CARGO) cyclonedx --manifest-path daemon/Cargo.toml --describe binaries \
		--format json --spec-version 1.5 --target $(HOST) -q
	@mkdir -p target
	sed 's|path+file://$(CURDIR)/|path+file:///|' daemon/reeld_bin.cdx.json >target/reeld.cdx.json
	rm daemon/reeld_bin.cdx.json
	tests/package/sbom target/reeld.cdx.json

# Times within the package are the commit's, so that the same source gives the same bytes.
deb: sbom
	@command -v cargo-deb >/dev/null || $(CARGO) install --locked cargo-deb@$(CARGO_DEB)
	rm -rf target/deb
	$(MAKE) install DESTDIR=target/deb PREFIX=/usr
	SOURCE_DATE_EPOCH=$(COMMITTED) $(CARGO) deb -p reeld --no-build $(DEB_ARGS)

# The package as it is, upgraded to one of the same files with a later revision. cargo-deb keeps one at a time.
package: deb
	@.ci/need debootstrap ffmpeg openssl
	mv target/debian/reeld_*.deb target/older.deb
	$(MAKE) deb DEB_ARGS='--deb-revision 2'
	mv target/debian/reeld_*.deb target/newer.deb
	tests/package/run target/older.deb target/newer.deb
	tests/package/restart target/older.deb target/newer.deb

build-tools:
	@.ci/need $(BUILD_PACKAGES)

test-tools:
	@.ci/need $(TEST_PACKAGES)

# Without what this make was told: jemalloc is built by a make of its own, which would install into our DESTDIR.
release: build-tools
	env -u MAKEFLAGS -u MFLAGS -u DESTDIR -u PREFIX $(CARGO) build --locked --release --bin reeld

# The steps of check, each one command that can be run alone.

fmt:
	$(CARGO) fmt --all --check

# What is outside the workspace has lock files of its own, which grow stale where a crate of ours gets a new dependency:
# make fuzz, loom and voice would fail. Nothing is built.
locks:
	@for folder in fuzz tests/loom tests/scores/voice_activity; do \
		$(CARGO) metadata --locked --format-version 1 --filter-platform $(HOST) --manifest-path $$folder/Cargo.toml >/dev/null || \
			{ echo "locks: $$folder/Cargo.lock is stale: cargo update --workspace there"; exit 1; }; \
	done

clippy: build-tools
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

doc: build-tools
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps

deny:
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny --locked check licenses bans sources; \
	else echo 'deny: skipped, cargo-deny is not installed'; fi

# 2.0 is the limit; --threshold takes tenths.
exposure:
	@if command -v systemd-analyze >/dev/null; then \
		report=$$(systemd-analyze security --offline=true --no-pager --threshold=20 systemd/reeld.service) \
			|| { echo "$$report"; exit 1; }; echo "$$report" | tail -n 1; \
	else echo 'exposure: skipped, systemd-analyze is not installed'; fi
