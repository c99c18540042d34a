// Package builders has builds done on machines of a cluster. Cluster, in the controller, finds a machine with the label builder
// that has room, has the engine keep that room, and sends the build there; Node, on the machine, is beside its agent and does the
// build as the controller would, with the same program.
//
// What a build needs goes to the machine on one connection, with TLS both ways: the package, uploaded buildpacks that are not there
// yet, the environment, and a password that writes images of the one app until the build has ended. Its log comes back on the same
// connection. Whoever breaks it ends the build.
package builders

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"github.com/cupola-paas/cupola/buildpack"
	"github.com/cupola-paas/cupola/buildpack/buildpackage"
	"github.com/cupola-paas/cupola/buildpack/embedded"
	"github.com/cupola-paas/cupola/controller/bits"
	nodeagent "github.com/cupola-paas/cupola/node/agent"
)

// Label is what a machine that builds has among its labels, with any value but "false".
const Label = "builder"

// Paths of a Node.
const (
	statePath  = prefix + "state"
	uploadPath = prefix + "uploads/"
	cachePath  = prefix + "caches"
	runPath    = prefix + "run/"

	prefix = nodeagent.BuildsPath
)

// How both sides know that the other is there.
const (
	beat    = 5 * time.Second // between two signs of life
	silence = 30 * time.Second
)

const maxOrder = 64 << 20

// order is all about a build but the bits.
type order struct {
	Version string            `json:"version"` // see Version
	Request request           `json:"request"`
	Uploads []upload          `json:"uploads,omitempty"` // one for each of the choices
	Keep    []string          `json:"keep,omitempty"`
	Egress  string            `json:"egress"`
	Host    string            `json:"host"`     // of the registry, as references name it
	User    string            `json:"user"`     // who the build is there
	Token   string            `json:"password"` // and with what
	Env     map[string]string `json:"build_env,omitempty"`
	CA      []byte            `json:"ca,omitempty"`
	Foreign bool              `json:"foreign,omitempty"`
}

// request is a buildpack.Request as far as it is text.
type request struct {
	ID, CacheID          string
	Choices              []buildpack.Choice
	Named                bool
	Env                  map[string]string
	Files                map[string][]byte
	BuildImage, RunImage string
	Repository, Previous string
	Limits               buildpack.Limits
}

// upload is an uploaded buildpack; an empty Key: the choice is none.
type upload struct {
	Key       string `json:"key,omitempty"`
	Lifecycle string `json:"lifecycle,omitempty"`
}

var keyGrammar = regexp.MustCompile(`^[a-z]*-[0-9a-f]{64}$`)

// message is a part of what a build says. The last one has a result or a failure; an empty one is a sign of life.
type message struct {
	Log     []byte            `json:"log,omitempty"`
	Result  *buildpack.Result `json:"result,omitempty"`
	Failure *failure          `json:"failure,omitempty"`
}

// failure is a buildpack.Error.
type failure struct {
	Code      buildpack.Code `json:"code"`
	Buildpack string         `json:"buildpack,omitempty"`
	ExitCode  int            `json:"exit_code,omitempty"`
	Message   string         `json:"message"`
}

func failureOf(err error) *failure {
	var known *buildpack.Error
	if !errors.As(err, &known) {
		return &failure{Code: buildpack.Internal, Message: err.Error()}
	}
	return &failure{known.Code, known.Buildpack, known.ExitCode, known.Message}
}

func (f *failure) err() error {
	return &buildpack.Error{Code: f.Code, Buildpack: f.Buildpack, ExitCode: f.ExitCode, Message: f.Message}
}

// state is what a machine says of itself.
type state struct {
	Version string `json:"version"`
	Cached  bool   `json:"cached"` // it has the cache that was asked for
}

// Version stands for what a build is done by: two machines with the same one build the same.
func Version() (string, error) {
	h := sha256.New()
	io.WriteString(h, "1\n") // of the messages
	for _, read := range []func() ([]byte, error){embedded.Launcher, embedded.Phase, embedded.Buildpack} {
		program, err := read()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%d\n", len(program))
		h.Write(program)
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

// encode puts the order before the bits of the package.
func (o *order) encode() ([]byte, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	if len(text) > maxOrder {
		return nil, fmt.Errorf("the environment and files of the build have more than %d MB", maxOrder>>20)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...), nil
}

func readOrder(r io.Reader) (*order, error) {
	var size uint32
	if err := binary.Read(r, binary.BigEndian, &size); err != nil {
		return nil, err
	}
	if size > maxOrder {
		return nil, errors.New("the order is too long")
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, err
	}
	o := &order{}
	return o, json.Unmarshal(text, o)
}

// UnpackUpload writes the files of an uploaded buildpack into dir, which is there and empty.
func UnpackUpload(ctx context.Context, f *os.File, lifecycle, dir string) error {
	if lifecycle == "cnb" {
		_, err := buildpackage.Unpack(f, dir)
		return err
	}
	return UnpackBits(ctx, f, dir)
}

// UnpackBits writes the files of a package, or of a classic buildpack, into dir, which is made.
func UnpackBits(ctx context.Context, f *os.File, dir string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return bits.Unpack(ctx, f, info.Size(), dir)
}
