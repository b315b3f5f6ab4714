"""Paths that run later: names by which some program finds a file and does what it says, without anybody naming that file.

Two kinds, one principle. *By itself*: something that runs anyway reads it, at a commit, at a login, when a directory is opened, on a
timer, on somebody else's machine (hooks, agents' settings, editors, shells, units, workflows). *By habit*: a tool that people start many
times a day looks for it by its fixed name and executes what is in it (``make``, ``npm``, ``pytest``). Neither is ever approved
automatically, for whoever approves a *text* there approves an *act*. Other source code is not on the list: it runs when a human runs that
program, and the checks and the reviewer are there for it.

``HEAD`` is what makes any directory a bare repository for Git, whose configuration it then obeys (``core.fsmonitor`` is a command).

What always holds: a name counts as the most lenient file system would read it (case, normal forms, invisible characters, trailing dots
and blanks, streams and short names of NTFS), in any directory, and everything in a listed directory counts.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from lastro.domain.paths import printable

_BY_ITSELF: Final = """
.git/ .gitmodules .githooks/ .husky/ .lefthook/ lefthook.y*ml .lefthook.y*ml lefthook-local.y*ml .pre-commit-config.y*ml
.pre-commit-hooks.y*ml .overcommit.yml .gitconfig *.git/hooks/ *.git/config HEAD

.claude/ .claude.json .codex/ .gemini/ .opencode/ opencode.json opencode.jsonc .openclaw/ openclaw.json .cursor/ .cursorrules
.windsurf/ .windsurfrules .continue/ .roo/ .roomodes .roorules .cline/ .clinerules .clinerules/ .kiro/ .junie/ .amazonq/ .augment/
.agents/ .agent/ .aider* .mcp.json mcp.json AGENTS.md AGENTS.override.md AGENT.md CLAUDE.md CLAUDE.local.md GEMINI.md QWEN.md
.goosehints copilot-instructions.md .github/instructions/ .github/prompts/ .github/agents/ .github/hooks/ .lastro/

.github/workflows/ .github/actions/ action.y*ml .gitlab-ci.y*ml .gitlab/ .circleci/ .travis.yml azure-pipelines.y*ml
.azure-pipelines/ Jenkinsfile Jenkinsfile.* .drone.y*ml .woodpecker/ .woodpecker.y*ml bitbucket-pipelines.yml .buildkite/
.forgejo/ .gitea/ .cirrus.y*ml .cirrus.star appveyor.y*ml .appveyor.y*ml .teamcity/ cloudbuild.y*ml buildspec.y*ml .semaphore/
.tekton/

*.service *.timer *.socket *.path *.mount *.automount *.slice *.target *.swap *.network *.netdev *.link *.container *.kube
*.service.d/ *.timer.d/ *.socket.d/ systemd/ init.d/ rc.local rc.d/ crontab *.crontab *.cron cron.d/ cron.hourly/ cron.daily/
cron.weekly/ cron.monthly/ cron.allow cron.deny anacrontab crontabs/ atjobs/ LaunchAgents/ LaunchDaemons/ autostart/ *.desktop
udev/ *.rules logrotate.d/ *.logrotate tmpfiles.d/ sysusers.d/ modprobe.d/ sysctl.d/ sysctl.conf dbus-1/ polkit-1/ pam.d/ sudoers
sudoers.d/ doas.conf ld.so.preload ld.so.conf ld.so.conf.d/ profile.d/ environment.d/ apt.conf.d/ inittab supervisord.conf monitrc
incron.d/

.ssh/ authorized_keys authorized_keys2 sshd_config sshd_config.d/ ssh_config ssh_config.d/

.envrc .direnvrc .autoenv.zsh .bashrc .bash_profile .bash_login .bash_logout .bash_aliases .profile .zshrc .zshenv .zprofile
.zlogin .zlogout .kshrc .mkshrc .cshrc .tcshrc .login .logout .inputrc .xprofile .xinitrc .xsession .xsessionrc .pam_environment
config.fish fish/conf.d/ fish/functions/ .tmux.conf .screenrc .gdbinit .lldbinit .vimrc .gvimrc .exrc .nvimrc .nvim.lua .vim/
.nvim/ .lvimrc .emacs .emacs.d/ .dir-locals.el .dir-locals-2.el .irbrc .pryrc .pythonrc .Rprofile .Renviron .ipython/ .jupyter/
.mise.toml mise.toml .mise/ .mise.*.toml mise.*.toml

.vscode/ *.code-workspace .idea/ .fleet/ .zed/ .devcontainer/ .devcontainer.json .sublime-project *.sublime-project .nova/ .vs/
.atom/ sitecustomize.py usercustomize.py *.pth
"""

_BY_HABIT: Final = """
Makefile GNUmakefile BSDmakefile Makefile.* makefile.* *.mk justfile .justfile Taskfile.y*ml Rakefile Gemfile *.gemspec Capfile
Vagrantfile Guardfile Podfile Fastfile Dangerfile Brewfile CMakeLists.txt CMakePresets.json *.cmake meson.build configure
configure.ac SConstruct SConscript wscript BUILD.bazel WORKSPACE.bazel MODULE.bazel .bazelrc *.bzl build.xml
pom.xml .mvn/ mvnw mvnw.cmd build.gradle build.gradle.kts settings.gradle settings.gradle.kts init.gradle gradle.properties
gradlew gradlew.bat gradle/wrapper/ build.sbt project/plugins.sbt build.zig build.rs .cargo/ mix.exs rebar.config dune-project
Package.swift *.csproj *.fsproj *.vbproj *.targets Directory.Build.* nuget.config flake.nix shell.nix default.nix devenv.nix

package.json .npmrc .yarnrc .yarnrc.yml .yarn/ .pnp.cjs .pnp.loader.mjs .pnpmfile.cjs pnpm-workspace.yaml bunfig.toml deno.json
deno.jsonc node_modules/.bin/ turbo.json nx.json lerna.json gulpfile.* Gruntfile.* webpack.config.* rollup.config.* vite.config.*
vitest.config.* jest.config.* jest.setup.* babel.config.* .babelrc* eslint.config.* .eslintrc* prettier.config.* .prettierrc.*js
.prettierrc.*ts next.config.* nuxt.config.* svelte.config.* astro.config.* postcss.config.* tailwind.config.* playwright.config.*
cypress.config.* karma.conf.* metro.config.* tsup.config.* .mocharc.* .lintstagedrc* lint-staged.config.* commitlint.config.*
.releaserc* release.config.* composer.json artisan

pyproject.toml setup.py setup.cfg conftest.py noxfile.py tox.ini pytest.ini fabfile.py dodo.py manage.py pip.conf .pypirc pdm.toml
.coveragerc docs/conf.py mkdocs.y*ml

Dockerfile Dockerfile.* *.dockerfile Containerfile Containerfile.* docker-compose*.y*ml compose.y*ml compose.*.y*ml docker-bake.*
Procfile Tiltfile skaffold.y*ml ansible.cfg .terraformrc terragrunt.hcl
"""


def executed_later(path: str) -> bool:
    """Whether what is at ``path`` (relative, byte-faithful) runs later without being named: by itself or by habit."""
    return runs_by_itself(path) or runs_by_habit(path)


def runs_by_itself(path: str) -> bool:
    """Whether something that runs anyway reads and obeys it."""
    return _is_listed(path, _TABLES[0])


def runs_by_habit(path: str) -> bool:
    """Whether a tool that people often start looks for it by name and executes what it says."""
    return _is_listed(path, _TABLES[1])


def holds_executed_later(path: str) -> bool:
    """Whether ``path`` is above something listed (``.github``): as a link or a file it would stand for what is looked for below it."""
    names = tuple(lenient_names(path))
    return bool(names) and any(beginning.fullmatch(names[-1]) for beginning in _BEGINNINGS)


def lenient_names(path: str) -> list[str]:
    """The components of ``path`` as the most lenient file system would compare them."""
    return [_lenient(name) for name in path.split("/") if name]


@lru_cache(maxsize=4096)
def _lenient(name: str) -> str:
    if not name.isascii():
        # HFS+ ignores what nobody sees; others compare by normal form. What is no character stands for itself.
        name = "".join(character for character in name if not _is_invisible(character))
        name = unicodedata.normalize("NFKC", name.casefold())
    name = name.casefold()
    # NTFS: streams (.git::$INDEX_ALLOCATION), trailing dots and blanks, the first short name (git~1).
    name = name.partition(":")[0].rstrip(" .") or name
    short = _SHORT.fullmatch(name)
    return f".{short[1]}" if short else name


def _is_invisible(character: str) -> bool:
    if 0xDC80 <= ord(character) <= 0xDCFF:
        return False
    return unicodedata.category(character) in {"Cf", "Cc"} or printable(character) != character


_SHORT: Final = re.compile(r"([a-z0-9]{2,6})~[0-9]")


class _Table:
    """Patterns compiled: of single names, of directories, and of several names in a row."""

    def __init__(self, words: str) -> None:
        files, directories, rows = [], [], []
        for word in words.split():
            names = word.casefold().rstrip("/").split("/")
            if len(names) > 1:
                rows.append((tuple(map(_one, names)), word.endswith("/")))
            elif word.endswith("/"):
                directories.append(names[0])
            else:
                files.append(names[0])
        self.files, self.directories, self.rows = _any(files), _any(directories), tuple(rows)


def _expression(pattern: str) -> str:
    return re.escape(pattern).replace(r"\*", ".*")


def _one(pattern: str) -> re.Pattern[str]:
    return re.compile(_expression(pattern), re.DOTALL)


def _any(patterns: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(_expression, patterns)), re.DOTALL)


def _is_listed(path: str, table: _Table) -> bool:
    names = lenient_names(path)
    if not names:
        return False
    if table.files.fullmatch(names[-1]) or any(table.directories.fullmatch(name) for name in names):
        return True
    return any(_has_row(names, row, is_directory=is_directory) for row, is_directory in table.rows)


def _has_row(names: list[str], row: tuple[re.Pattern[str], ...], *, is_directory: bool) -> bool:
    starts = range(len(names) - len(row) + 1) if is_directory else [len(names) - len(row)]
    return any(
        start >= 0 and all(each.fullmatch(names[start + place]) for place, each in enumerate(row))
        for start in starts
    )


_TABLES: Final = (_Table(_BY_ITSELF), _Table(_BY_HABIT))
_BEGINNINGS: Final = tuple(each for table in _TABLES for row, _ in table.rows for each in row[:-1])
