# What a person, and CI, does with reeld. Each target first installs what is missing (.ci/need).
#
#   make run      the daemon on its embedded defaults; data in ./reeld-data. ARGS="--listen …" adds flags
#   make test     all that CI checks: make check, then every test
#   make check    format, lints, documentation, dependencies, the unit's exposure: all but the tests
#   make bench    the measurements that README's figures come from
#   make install  binary, unit, configuration and sysusers under DESTDIR and PREFIX

PREFIX ?= /usr/local
DESTDIR ?=
ARGS ?=
CARGO ?= cargo

# Debian's names. What the build links, and beside it what the tests call.
BUILD_PACKAGES := build-essential pkg-config cmake libmp3lame-dev libopus-dev
TEST_PACKAGES := $(BUILD_PACKAGES) ffmpeg sip-tester curl

.PHONY: run test check bench install build-tools test-tools release fmt clippy doc deny exposure

run: build-tools
	$(CARGO) run --locked --release --bin reeld -- serve $(ARGS)

test: test-tools check
	$(CARGO) test --locked --workspace --no-fail-fast

check: fmt clippy doc deny exposure

bench: build-tools
	$(CARGO) run --locked --release --bin reeld -- bench capture $(ARGS)

# An existing configuration is the operator's: it stays as it is.
install: release
	install -D -m 755 target/release/reeld '$(DESTDIR)$(PREFIX)/bin/reeld'
	install -d '$(DESTDIR)$(PREFIX)/lib/systemd/system' '$(DESTDIR)$(PREFIX)/lib/sysusers.d'
	sed 's|/usr/local/bin/reeld|$(PREFIX)/bin/reeld|' systemd/reeld.service \
		> '$(DESTDIR)$(PREFIX)/lib/systemd/system/reeld.service'
	install -m 644 systemd/reeld.sysusers '$(DESTDIR)$(PREFIX)/lib/sysusers.d/reeld.conf'
	test -e '$(DESTDIR)/etc/reeld/reeld.toml' || \
		install -D -m 644 systemd/reeld.toml '$(DESTDIR)/etc/reeld/reeld.toml'

build-tools:
	@.ci/need $(BUILD_PACKAGES)

test-tools:
	@.ci/need $(TEST_PACKAGES)

release: build-tools
	$(CARGO) build --locked --release --bin reeld

# The steps of check, each one command that can be run alone.

fmt:
	$(CARGO) fmt --all --check

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
