package staging

import (
	"context"
	"errors"
	"fmt"

	"github.com/cupola-paas/cupola/buildpack"
	"github.com/cupola-paas/cupola/buildpack/buildpackage"
	"github.com/cupola-paas/cupola/store"
)

// Machines are those of a cluster that build (see package builders). Its methods may be called at the same time.
type Machines interface {
	// Places is how many builds with these limits they bear at the same time; zero: no machine of the cluster builds now.
	Places(l buildpack.Limits) int
	// Seat finds a machine for a build and keeps room for it there, and waits until there is some. A nil Seat: no machine of the
	// cluster builds. tell is called with sentences for the log.
	Seat(ctx context.Context, a Ask, tell func(text string)) (Seat, error)
	// Sweep gives back the room of builds of an earlier process.
	Sweep(ctx context.Context) error
	// Moved is closed when Places may be another than when it was called.
	Moved() <-chan struct{}
}

// Ask is what a build needs of a machine.
type Ask struct {
	ID, CacheID string
	Pool        string // of the app's isolation segment; empty: the common one
	Limits      buildpack.Limits
	Avoid       []string // names of machines where the build failed without its fault: taken only if there is no other
}

// Seat is room on a machine that is kept for a build.
type Seat interface {
	Machine() string // its name
	// Here: it is this machine, where the caller builds.
	Here() bool
	// Gone is closed when the room is not kept any more, so that the build must end.
	Gone() <-chan struct{}
	// Build builds there. ErrMachineLost: the build did not come to its end because of the machine.
	Build(ctx context.Context, s Shipment) (*buildpack.Result, error)
	// Release gives the room back. Once ctx has ended it is done soon: Sweep gives back what is left.
	Release(ctx context.Context)
}

// ErrMachineLost says that a build is to be done again.
var ErrMachineLost = errors.New("the machine was lost")

// Shipment is all that another machine needs for a build.
type Shipment struct {
	Request buildpack.Request // without Source and folders of Choices
	Package *store.Package
	Uploads []*store.Buildpack // one for each of Choices; nil: it was not uploaded
	Keep    []string           // the keys of all uploaded buildpacks that there are
	Egress  string
}

// tries is how many machines a build may lose.
const tries = 2

// order is all that is known of a build before it has a machine.
type order struct {
	build *store.Build
	req   *buildpack.Request
	list  []choice
	pkg   *store.Package
	pool  string
	out   LineWriter // for what the platform says of it
}

func (o *order) egress() string { return "staging/" + o.build.SpaceGUID }

// run builds where there is room, and says where that was.
func (l *Loop) run(ctx context.Context, o *order) (result *buildpack.Result, machine string, err error) {
	if l.Machines == nil {
		result, err = l.here(ctx, o)
		return result, "", err
	}
	var lost []string
	for n := 1; ; n++ {
		result, machine, err = l.onMachine(ctx, o, lost)
		if !errors.Is(err, ErrMachineLost) || ctx.Err() != nil {
			return result, machine, err
		}
		l.Log.Warn("the machine of a build was lost", "build", o.build.GUID, "node", machine, "error", err)
		if n == tries {
			return nil, machine, lastly(n, machine, err)
		}
		fmt.Fprintf(o.out, "Machine %s failed (%v): staging begins again\n", machine, err)
		lost = append(lost, machine)
	}
}

// lastly is what is said of a build that is not tried any more.
func lastly(n int, machine string, err error) error {
	if known := (*buildpack.Error)(nil); errors.As(err, &known) {
		return known
	}
	return &buildpack.Error{
		Code: buildpack.Internal, Message: fmt.Sprintf("the build was begun %d times and its machine failed each time: push again, or ask the operator (machine %s: %v)", n, machine, err), Err: err,
	}
}

func (l *Loop) onMachine(ctx context.Context, o *order, avoid []string) (*buildpack.Result, string, error) {
	told := ""
	ask := Ask{ID: o.build.GUID, CacheID: o.req.CacheID, Pool: o.pool, Limits: o.req.Limits, Avoid: avoid}
	seat, err := l.Machines.Seat(ctx, ask, func(text string) {
		if text != told {
			told = text
			fmt.Fprintln(o.out, text)
		}
	})
	if err != nil {
		return nil, "", err
	}
	if seat == nil {
		result, err := l.here(ctx, o)
		return result, "", err
	}
	defer l.workers.Go(func() { seat.Release(l.life()) })
	fmt.Fprintf(o.out, "Building on machine %s\n", seat.Machine())
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	defer close(ended)
	l.workers.Go(func() {
		select {
		case <-seat.Gone():
			cancel(ErrMachineLost)
		case <-ended:
		}
	})
	var result *buildpack.Result
	if seat.Here() {
		result, err = l.here(ctx, o)
	} else {
		result, err = seat.Build(ctx, l.shipment(o))
	}
	if err != nil && errors.Is(context.Cause(ctx), ErrMachineLost) {
		err = ErrMachineLost
	}
	return result, seat.Machine(), err
}

// life ends when Run is to end.
func (l *Loop) life() context.Context {
	if l.running == nil { // Step alone was called
		return context.Background()
	}
	return l.running
}

// here builds on this machine, when it has a place: builds that found no other machine may be more than those.
func (l *Loop) here(ctx context.Context, o *order) (*buildpack.Result, error) {
	select {
	case l.own <- struct{}{}:
	default:
		fmt.Fprintln(o.out, "Waiting: other builds are under way on the server's machine")
		select {
		case l.own <- struct{}{}:
		case <-ctx.Done():
			return nil, &buildpack.Error{Code: buildpack.Canceled, Message: "the build was canceled", Err: context.Cause(ctx)}
		}
	}
	defer func() { <-l.own }()
	return l.buildHere(ctx, o)
}

func (l *Loop) shipment(o *order) Shipment {
	s := Shipment{Request: *o.req, Package: o.pkg, Egress: o.egress()}
	for _, c := range o.list {
		l.announce(o.req, c)
		s.Request.Choices = append(s.Request.Choices, c.Choice)
		s.Uploads = append(s.Uploads, c.rec)
	}
	for key := range l.catalogue() {
		s.Keep = append(s.Keep, key)
	}
	return s
}

// announce says in the log which uploaded buildpack is used, where the developer named it.
func (l *Loop) announce(req *buildpack.Request, c choice) {
	if req.Named && c.rec != nil {
		fmt.Fprintf(req.Log, "Downloading buildpack %s (%s)\n", c.Name, c.rec.Filename)
	}
}

// Unpacked completes the choice of an uploaded buildpack, whose files are in dir.
func Unpacked(c *buildpack.Choice, lifecycle, dir string) error {
	c.Dir = dir
	if lifecycle != "cnb" {
		return nil
	}
	root, err := buildpackage.ReadRoot(dir)
	if err != nil {
		return fmt.Errorf("buildpack %s: %w", c.Name, err)
	}
	c.ID, c.Version = root.ID, root.Version
	return nil
}
