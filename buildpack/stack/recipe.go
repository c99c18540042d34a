package stack

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"runtime"
	"strings"
)

// recipe is all that decides the content of the images, save the versions of the packages.
type recipe struct {
	Format        int // raised when the code that assembles changes what comes out
	Suite, Arch   string
	RunPackages   []string
	BuildPackages []string
	RunExclude    []string // paths left out of both images; a trailing * matches any rest
	BuildExclude  []string // paths left out of the build image's own layer
}

const recipeFormat = 1

// vcap is the user of apps and of builds; Cloud Foundry's name with Cloud Foundry's ids.
const (
	vcapName = "vcap"
	vcapID   = 2000
	vcapHome = "/home/vcap"
)

func recipeFor(suite string) recipe {
	return recipe{
		Format: recipeFormat, Suite: suite, Arch: runtime.GOARCH,
		RunPackages:   runPackages,
		BuildPackages: buildPackages,
		RunExclude:    excluded,
		BuildExclude:  buildExcluded,
	}
}

// hash names the recipe in the cache folder.
func (r recipe) hash() string {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])[:16]
}

// version identifies the content: the recipe and the versions of all packages.
func (r recipe) version(pkgs []Package) string {
	var b strings.Builder
	b.WriteString(r.hash())
	for _, p := range pkgs {
		b.WriteString("\n" + p.Name + "=" + p.Version)
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])[:16]
}

// runPackages come on top of debootstrap's minbase. python3, ruby and nginx are here rather than in layers of the
// buildpacks so that a rebase patches them.
var runPackages = []string{
	"bash", "ca-certificates", "curl", "locales", "netcat-openbsd", "openssl", "procps", "tzdata",
	"nginx", "libnginx-mod-http-brotli-static", "python3", "python-is-python3", "ruby", "ruby-bundler",
	"libatomic1", "libbrotli1", "libcurl4t64", "libexpat1", "libffi8", "libgmp10", "libjpeg62-turbo", "libpng16-16t64", "libpq5",
	"libsqlite3-0", "libssl3t64", "libstdc++6", "libwebp7", "libxml2", "libxslt1.1", "libyaml-0-2", "zlib1g",
}

// buildPackages are what usual apps need to be built, two clients that fetch everything else (npm for Node.js and its
// package managers, go for Go toolchains), and what the java buildpack copies into the layers of Java apps.
var buildPackages = []string{
	"build-essential", "file", "git", "pkg-config", "unzip", "xz-utils",
	"python3-dev", "python3-pip", "python3-venv", "ruby-dev",
	"openjdk-21-jre-headless", "libtomcat10-java", "tomcat10-common",
	"libffi-dev", "libpq-dev", "libsqlite3-dev", "libssl-dev", "libxml2-dev", "libyaml-dev", "zlib1g-dev",
	"golang-go", "npm",
}

// excluded are what a container never reads. Copyright files stay: the licences ask for it.
var excluded = []string{
	"dev/*", "proc/*", "run/*", "sys/*", "tmp/*", "var/tmp/*", "var/log/*", "var/mail/*",
	"boot/*", "media/*", "mnt/*", "srv/*", "root/*",
	"etc/.pwd.lock", "etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/machine-id", "etc/mtab", "etc/apt/sources.list.d/*",
	"etc/dpkg/dpkg.cfg.d/cupola", "etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "etc/subuid-", "etc/subgid-",
	"usr/sbin/policy-rc.d", "usr/share/i18n/*", "usr/share/info/*", "usr/share/lintian/*", "usr/share/locale/*", "usr/share/man/*",
	"usr/share/bash-completion/*", "usr/share/bug/*", "usr/share/doc-base/*", "var/www/html/*",
	"etc/nginx/sites-enabled/*",
	"var/cache/*", "var/lib/apt/*", "var/lib/dpkg/*-old", "var/lib/systemd/*", "debootstrap",
}

// buildExcluded leaves of Go what downloads modules and toolchains (a compiler comes with the toolchain that
// the app's go.mod asks for), and leaves out the modules that Debian's npm depends on but never loads, and of Java
// and Tomcat what serves heaps above 32 GB, and translations of error messages.
var buildExcluded = append([]string{
	"usr/share/go-*/src/*", "usr/share/go-*/test/*", "usr/share/go-*/api/*", "usr/share/go-*/misc/*", "usr/lib/go-*/pkg/tool/*/*",
	"usr/lib/jvm/*/lib/server/classes_nocoops.jsa", "usr/lib/jvm/*/man/*",
	"usr/share/java/tomcat10-i18n-*",
	"usr/lib/*/libasan.*", "usr/lib/*/libtsan.*", "usr/lib/*/libhwasan.*", "usr/lib/*/liblsan.*", "usr/lib/*/libubsan.*",
}, nodeModules("@babel", "@jridgewell", "@types", "@unicode", "@webassemblyjs", "ajv", "ajv-keywords", "async", "async-es",
	"caniuse-lite", "core-js", "core-js-compat", "core-js-pure", "corepack", "diff", "es-abstract", "eslint", "handlebars",
	"istanbul", "istanbul-lib-report", "istanbul-reports", "lodash", "lodash-cli", "lodash-es", "neo-async", "postcss",
	"regenerate-unicode-properties", "serialize-javascript", "tapable", "terser", "web-streams-polyfill", "webassemblyjs",
	"webpack", "webpack-sources", "yargs")...)

func nodeModules(names ...string) []string {
	paths := make([]string, len(names))
	for i, n := range names {
		paths[i] = "usr/share/nodejs/" + n + "/*"
	}
	return paths
}

// imageEnv is the environment of both images. CNB_* are Buildpack API and Platform API 0.12; CNB_TARGET_* name the distribution.
func imageEnv(r *release) []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG=en_US.UTF-8",
		"CNB_USER_ID=2000",
		"CNB_GROUP_ID=2000",
		"CNB_STACK_ID=" + r.stackID(),
		"CNB_TARGET_OS=linux",
		"CNB_TARGET_ARCH=" + runtime.GOARCH,
		"CNB_TARGET_DISTRO_NAME=" + r.ID,
		"CNB_TARGET_DISTRO_VERSION=" + r.VersionID,
	}
}
