package dataservice

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/controller/dataservice/keeper"
)

//go:embed offerings/*.yml
var embedded embed.FS

// Catalogue is all that the broker offers, sorted by name. It is not changed once it is read.
type Catalogue []*Offering

// Offering is one kind of data service, as its catalogue file describes it. Every string in Files, Server, Ready,
// Setup, Bind, Unbind, Reload, Backup, Restore, Proof, Used, Full, Room and Credentials is a template (see view).
type Offering struct {
	ID               string `yaml:"id"` // empty: made from the name, and so the same on every start
	Name             string `yaml:"name"`
	Version          string `yaml:"version"` // semantic version of the server, for maintenance_info
	DisplayName      string `yaml:"display_name"`
	Description      string `yaml:"description"`
	DocumentationURL string `yaml:"documentation_url"`

	Tags  []string `yaml:"tags"`
	Image Image    `yaml:"image"`
	Ports []int    `yaml:"ports"` // that bound apps may connect to; the first is the one that is probed
	// User is numeric, uid:gid. Empty: the user vcap of images of packages.
	User   string `yaml:"user"`
	Volume string `yaml:"volume"` // the folder that outlives the server; empty: it keeps nothing

	StopSignal string `yaml:"stop_signal"` // empty: SIGTERM
	StopGrace  int    `yaml:"stop_grace"`  // seconds; zero: 60

	Plans []*Plan `yaml:"plans"`

	Secrets []string          `yaml:"secrets"` // made at random for each instance, for its life
	Files   map[string]string `yaml:"files"`   // contents by name, below /etc/cupola-service
	Server  keeper.Plan       `yaml:"server"`
	// FilesHaveBindings: Files name .Bindings, so each bind and unbind renews them and then runs Reload.
	FilesHaveBindings bool `yaml:"files_have_bindings"`
	MaxBindings       int  `yaml:"max_bindings"` // of one instance; zero: no limit

	Ready  Command   `yaml:"ready"`  // succeeds once the server takes clients; empty: its port answers
	Setup  []Command `yaml:"setup"`  // once the server is ready, at each start
	Bind   []Command `yaml:"bind"`   // repeated when a binding is asked for again
	Unbind []Command `yaml:"unbind"` // of a binding that may be gone already
	Reload []Command `yaml:"reload"` // after new certificates

	Backup  Command `yaml:"backup"`  // writes the whole content to its output; empty: no backups
	Restore Command `yaml:"restore"` // reads what Backup wrote, into an empty server or over what is there
	Proof   Command `yaml:"proof"`   // queries a restored server; what it prints is kept with the backup
	// BeforeBackup is run before Backup.
	BeforeBackup []Command `yaml:"before_backup"`
	// BeforeRestore and Restored are run before and after Restore. RestoreRestarts: what Restore has read is taken up by the
	// next start of the server, which comes before Restored, and then every binding is made again.
	BeforeRestore   []Command `yaml:"before_restore"`
	Restored        []Command `yaml:"restored"`
	RestoreRestarts bool      `yaml:"restore_restarts"`
	// RestoreWhole: a restore that fails leaves what was there. Otherwise that is copied first, and put back.
	RestoreWhole bool `yaml:"restore_whole"`

	Recovery *Recovery `yaml:"recovery"` // nil: to a backup alone, not to any moment

	Used Command   `yaml:"used"` // prints how many bytes of the disk are used; empty: the volume is measured
	Full []Command `yaml:"full"` // has the server refuse what would take more of the disk; repeated at each start
	Room []Command `yaml:"room"` // has it take everything again

	Credentials map[string]any `yaml:"credentials"` // values that are strings are templates

	source []byte // the file
}

// Image is what the server runs from: Debian packages or a program of the platform on its own base image, or anybody's image.
type Image struct {
	Packages []string `yaml:"packages"`
	Exclude  []string `yaml:"exclude"` // paths of the packages that are left out; a trailing * matches any rest
	// Prepare are commands, with their arguments, that run as User when the image is made of packages. What they write below
	// /prepared is in the image, such as a database without anything in it that each instance begins with.
	Prepare   [][]string `yaml:"prepare"`
	Reference string     `yaml:"reference"` // such as docker.io/library/mongo:8; copied into the platform's registry
	Program   string     `yaml:"program"`   // one that the platform brings, such as objects; it is found as /cupola/NAME
}

// Recovery is how an offering goes back to any moment: its server puts what it writes ahead of its changes, in
// segments, into a folder (keeper.Archive), from where the platform brings them away; base backups are where a recovery
// begins. It needs Backup and Restore, by which what was recovered gets to where it is wanted.
type Recovery struct {
	Spool string  `yaml:"spool"` // the folder
	Flush Command `yaml:"flush"` // has the server end the segment that it writes, and prints its name
	Base  Command `yaml:"base"`  // writes a base backup to its output
	// Unpack reads what Base wrote, and Segments the segments as a tar stream, in a container without a server. Server is
	// one that recovers to {{.Until}}, empty: as far as it can, and then takes clients.
	Unpack   Command `yaml:"unpack"`
	Segments Command `yaml:"segments"`
	Server   Command `yaml:"server"`
	// Short is what Server says when it ends because there is nothing to recover from after Until.
	Short   string  `yaml:"short"`
	Reached Command `yaml:"reached"` // prints the segment that the recovery ended in
}

// Plan is a size of an offering.
type Plan struct {
	ID          string `yaml:"id"` // as with Offering
	Name        string `yaml:"name"`
	Description string `yaml:"description"`
	MemoryMB    int    `yaml:"memory_mb"`
	CPUShares   int    `yaml:"cpu_shares"` // zero: as an app with that memory
	DiskMB      int    `yaml:"disk_mb"`
	Connections int    `yaml:"connections"`
	Free        *bool  `yaml:"free"` // nil: it is
	// RecoveryDays is how far back any moment can be restored, where the offering has Recovery. Zero: it cannot.
	RecoveryDays int `yaml:"recovery_days"`
}

// Command is a program that runs beside the server in its container, as the server's user.
type Command struct {
	Run   []string          `yaml:"run"`
	Stdin string            `yaml:"stdin"`
	Env   map[string]string `yaml:"env"`
	// Tolerate is what a failure may say to count as success, such as that what is to be removed is not there.
	Tolerate string `yaml:"tolerate"`
}

func (c Command) empty() bool { return len(c.Run) == 0 }

// maxFile bounds a catalogue file.
const maxFile = 1 << 20

// ReadCatalogue reads the offerings of this binary and those of an operator's folder, which may be absent. A file of
// the folder with the name of an offering takes its place. An error names the file and what to mend.
func ReadCatalogue(folder string) (Catalogue, error) {
	sub, err := fs.Sub(embedded, "offerings")
	if err != nil {
		return nil, err
	}
	all := map[string]*Offering{}
	sources := []fs.FS{sub}
	if _, err := os.Stat(folder); folder != "" && err == nil {
		sources = append(sources, os.DirFS(folder))
	}
	for _, source := range sources {
		if err := readFolder(source, all); err != nil {
			return nil, err
		}
	}
	var c Catalogue
	for _, o := range all {
		c = append(c, o)
	}
	slices.SortFunc(c, func(a, b *Offering) int { return strings.Compare(a.Name, b.Name) })
	return c, c.unique()
}

func readFolder(source fs.FS, into map[string]*Offering) error {
	names, err := fs.Glob(source, "*.yml")
	if err != nil {
		return err
	}
	here := map[string]string{}
	for _, name := range names {
		o, err := readOffering(source, name)
		if err != nil {
			return fmt.Errorf("catalogue file %s: %w", name, err)
		}
		if first, twice := here[o.Name]; twice {
			return fmt.Errorf("catalogue file %s: the offering %s is in %s already", name, o.Name, first)
		}
		here[o.Name], into[o.Name] = name, o
	}
	return nil
}

func readOffering(source fs.FS, name string) (*Offering, error) {
	text, err := fs.ReadFile(source, name)
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	return parseOffering(text)
}

func parseOffering(text []byte) (*Offering, error) {
	o := &Offering{source: text}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(o); err != nil {
		return nil, err
	}
	o.fill()
	return o, o.check()
}

// idSpace is the name space of the ids that are made from names (RFC 9562, UUID version 5).
var idSpace = uuid.MustParse("6f9d9d4e-3f0b-5c0a-9a52-0d1f7c8f6a11")

func (o *Offering) fill() {
	if o.ID == "" {
		o.ID = uuid.NewSHA1(idSpace, []byte(o.Name)).String()
	}
	if o.User == "" {
		o.User = "2000:2000"
	}
	if o.StopGrace == 0 {
		o.StopGrace = 60
	}
	if o.DisplayName == "" {
		o.DisplayName = o.Name
	}
	for _, p := range o.Plans {
		if p.ID == "" {
			p.ID = uuid.NewSHA1(idSpace, []byte(o.Name+"/"+p.Name)).String()
		}
	}
}

var (
	offeringName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,49}$`)
	numericUser  = regexp.MustCompile(`^[1-9][0-9]{0,8}:[0-9]{1,9}$`)
	semver       = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?$`)
)

// leastMemoryMB is the smallest server that a plan can have.
const leastMemoryMB = 16

func (o *Offering) check() error {
	switch {
	case !offeringName.MatchString(o.Name):
		return fmt.Errorf("name %q: use up to 50 lower-case letters, digits and dashes", o.Name)
	case o.Description == "":
		return errors.New("description: say in a sentence what it is")
	case !semver.MatchString(o.Version):
		return fmt.Errorf("version %q: write it as 17.5.0", o.Version)
	case !o.Image.one():
		return errors.New("image: name packages, a reference or a program, one of them")
	case len(o.Image.Prepare) > 0 && len(o.Image.Packages) == 0 || slices.ContainsFunc(o.Image.Prepare, func(c []string) bool { return len(c) == 0 }):
		return errors.New("image: prepare is a list of commands, for an image of packages")
	case !numericUser.MatchString(o.User):
		return fmt.Errorf("user %q: write it as uid:gid in numbers, and not as root", o.User)
	case len(o.Ports) == 0 || slices.ContainsFunc(o.Ports, func(p int) bool { return p < 1 || p > 65535 }):
		return errors.New("ports: name one or more from 1 to 65535")
	case o.Volume != "" && (!path.IsAbs(o.Volume) || path.Clean(o.Volume) != o.Volume || o.Volume == "/"):
		return fmt.Errorf("volume %q: name an absolute path below /", o.Volume)
	case len(o.Plans) == 0:
		return errors.New("plans: name at least one")
	case len(o.Credentials) == 0:
		return errors.New("credentials: say what a binding gives")
	case len(o.Full) > 0 && len(o.Room) == 0:
		return errors.New("full: it needs room, which takes it back")
	case o.Backup.empty() != o.Restore.empty():
		return errors.New("backup and restore: one is of no use without the other")
	}
	if o.RestoreRestarts && o.Ready.empty() && o.Proof.empty() {
		return errors.New("restore_restarts: it needs ready or proof, by which a server that was restored is known to run")
	}
	if err := o.Recovery.check(o); err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	if err := o.Server.Check(); err != nil && (o.Image.Reference == "" || len(o.Server.Steps) > 0 && len(o.Server.Exec) > 0) {
		return fmt.Errorf("server: %w", err)
	}
	for name := range o.Files {
		if name != filepath.Base(name) || strings.HasPrefix(name, ".") {
			return fmt.Errorf("files: %q: name it without a folder; it will be in %s", name, filesDir)
		}
	}
	for i, p := range o.Plans {
		if err := p.check(); err != nil {
			return fmt.Errorf("plans[%d]: %w", i, err)
		}
	}
	return o.tryTemplates()
}

// one tells whether there is exactly one source.
func (i Image) one() bool {
	n := 0
	for _, named := range []bool{len(i.Packages) > 0, i.Reference != "", i.Program != ""} {
		if named {
			n++
		}
	}
	return n == 1
}

func (r *Recovery) check(o *Offering) error {
	if r == nil {
		if slices.ContainsFunc(o.Plans, func(p *Plan) bool { return p != nil && p.RecoveryDays > 0 }) {
			return errors.New("a plan has recovery_days: say how it is done")
		}
		return nil
	}
	switch {
	case o.Backup.empty():
		return errors.New("it needs backup and restore")
	case !path.IsAbs(r.Spool):
		return fmt.Errorf("spool %q: name an absolute path", r.Spool)
	case r.Flush.empty() || r.Base.empty() || r.Unpack.empty() || r.Segments.empty() || r.Server.empty() || r.Reached.empty():
		return errors.New("name all of flush, base, unpack, segments, server and reached")
	}
	return nil
}

func (p *Plan) check() error {
	switch {
	case !offeringName.MatchString(p.Name):
		return fmt.Errorf("name %q: use up to 50 lower-case letters, digits and dashes", p.Name)
	case p.MemoryMB < leastMemoryMB:
		return fmt.Errorf("memory_mb: %d is too small; use %d or more", p.MemoryMB, leastMemoryMB)
	case p.DiskMB < 0 || p.Connections < 0 || p.CPUShares < 0 || p.RecoveryDays < 0:
		return errors.New("disk_mb, connections, cpu_shares and recovery_days cannot be negative")
	}
	return nil
}

// unique checks that no id is used twice: a broker's catalogue must not (OSB 2.17, "Catalog Management").
func (c Catalogue) unique() error {
	seen := map[string]string{}
	add := func(id, what string) error {
		if other, twice := seen[id]; twice {
			return fmt.Errorf("the id %s is of %s and of %s", id, other, what)
		}
		seen[id] = what
		return nil
	}
	for _, o := range c {
		if err := add(o.ID, "the offering "+o.Name); err != nil {
			return err
		}
		names := map[string]bool{}
		for _, p := range o.Plans {
			if names[p.Name] {
				return fmt.Errorf("the offering %s has the plan %s twice", o.Name, p.Name)
			}
			names[p.Name] = true
			if err := add(p.ID, "the plan "+o.Name+"/"+p.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// offering returns the one with that id, or nil.
func (c Catalogue) offering(id string) *Offering {
	for _, o := range c {
		if o.ID == id {
			return o
		}
	}
	return nil
}

// plan returns the one with that id, or nil.
func (o *Offering) plan(id string) *Plan {
	if o == nil {
		return nil
	}
	for _, p := range o.Plans {
		if p.ID == id {
			return p
		}
	}
	return nil
}
