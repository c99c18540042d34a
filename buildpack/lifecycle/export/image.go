package export

import (
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/cupola-paas/cupola/buildpack/launcher"
)

// assemble puts the layers on the run image and writes configuration and labels.
func (e *Export) assemble(p *parts, m launcher.Metadata) (v1.Image, string, error) {
	img, err := stack(e.RunImage, p.all())
	if err != nil {
		return nil, "", err
	}
	old, err := img.ConfigFile()
	if err != nil {
		return nil, "", err
	}
	config := old.DeepCopy()
	config.Created, config.Author = v1.Time{Time: epoch}, ""
	defaultType := defaultProcess(m)
	e.configure(&config.Config, defaultType)
	if err := e.label(&config.Config, p, m); err != nil {
		return nil, "", err
	}
	img, err = mutate.ConfigFile(img, config)
	return img, defaultType, err
}

// stack puts layers on a run image, in the kind of manifest that it has.
func stack(run v1.Image, layers []*Blob) (v1.Image, error) {
	manifestType, err := run.MediaType()
	if err != nil {
		return nil, err
	}
	var adds []mutate.Addendum
	for _, l := range layers {
		b := *l // of the previous image, it may be in use elsewhere
		b.Type = types.DockerLayer
		if manifestType == types.OCIManifestSchema1 {
			b.Type = types.OCILayer
		}
		adds = append(adds, mutate.Addendum{
			Layer: &b, MediaType: b.Type,
			History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "cupola"},
		})
	}
	return mutate.Append(run, adds...)
}

// configure sets how the image starts (Platform API, exporter, Outputs).
func (e *Export) configure(c *v1.Config, defaultType string) {
	c.Entrypoint, c.Cmd = []string{launcher.Path}, nil
	if defaultType != "" {
		c.Entrypoint = []string{launcher.ProcessDir + "/" + defaultType}
	}
	c.WorkingDir = e.AppPath
	if c.User == "" || c.User == "root" || c.User == "0" || strings.HasPrefix(c.User, "0:") || strings.HasPrefix(c.User, "root:") {
		c.User = fmt.Sprintf("%d:%d", e.Owner.UID, e.Owner.GID)
	}
	path := ""
	for _, kv := range c.Env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v
		}
	}
	c.Env = setEnv(c.Env, "PATH", imagePath(path))
	c.Env = setEnv(c.Env, "CNB_LAYERS_DIR", e.LayersPath)
	c.Env = setEnv(c.Env, "CNB_APP_DIR", e.AppPath)
	c.Env = setEnv(c.Env, "CNB_PLATFORM_API", PlatformAPI)
}

func setEnv(list []string, name, value string) []string {
	for i, kv := range list {
		if strings.HasPrefix(kv, name+"=") {
			list[i] = name + "=" + value
			return list
		}
	}
	return append(list, name+"="+value)
}

// label writes the buildpacks' labels and then, so that none of them can be replaced, the lifecycle's.
func (e *Export) label(c *v1.Config, p *parts, m launcher.Metadata) error {
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	for _, l := range e.Labels {
		c.Labels[l.Key] = l.Value
	}
	meta, err := e.metadata(p)
	if err != nil {
		return err
	}
	if c.Labels[LifecycleLabel], err = marshal(meta); err != nil {
		return err
	}
	build := buildMetadata{Processes: append([]launcher.Process{}, m.Processes...), Buildpacks: e.Group}
	build.Launcher.Version = e.LauncherVersion
	if c.Labels[BuildLabel], err = marshal(build); err != nil {
		return err
	}
	c.Labels[ProjectLabel] = "{}"
	if c.Labels[RebasableLabel] != "false" {
		c.Labels[RebasableLabel] = "true"
	}
	return nil
}

func (e *Export) metadata(p *parts) (Metadata, error) {
	buildpacks, err := e.forLabel(p.built)
	if err != nil {
		return Metadata{}, err
	}
	run, err := describeRunImage(e.RunImage, e.RunReference.Name())
	if err != nil {
		return Metadata{}, err
	}
	meta := Metadata{
		App:        []LayerSHA{},
		Config:     LayerSHA{p.config.Diff.String()},
		Launcher:   LayerSHA{p.launcher.Diff.String()},
		ExecEnv:    launcher.DefaultExecEnv,
		Buildpacks: buildpacks,
		RunImage:   run,
		Stack:      &StackMetadata{run},
	}
	for _, b := range p.app {
		meta.App = append(meta.App, LayerSHA{b.Diff.String()})
	}
	if p.sbom != nil {
		meta.SBOM = &LayerSHA{p.sbom.Diff.String()}
	}
	return meta, nil
}

// describeRunImage says what an app image remembers of its run image.
func describeRunImage(img v1.Image, reference string) (RunImage, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return RunImage{}, err
	}
	if len(config.RootFS.DiffIDs) == 0 {
		return RunImage{}, fmt.Errorf("run image %s has no layer", reference)
	}
	digest, err := img.Digest()
	if err != nil {
		return RunImage{}, err
	}
	image, _, _ := strings.Cut(reference, "@")
	return RunImage{
		TopLayer:  config.RootFS.DiffIDs[len(config.RootFS.DiffIDs)-1].String(),
		Reference: image + "@" + digest.String(),
		Image:     image,
	}, nil
}
