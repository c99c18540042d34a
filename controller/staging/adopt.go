package staging

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cupola-paas/cupola/buildpack"
	"github.com/cupola-paas/cupola/store"
)

// Adopter makes images of uploaded droplets; *buildpack.Builder is one.
type Adopter interface {
	Adopt(ctx context.Context, a buildpack.Adoption) (*buildpack.Result, error)
}

// Blobs holds uploaded droplets until they are images.
type Blobs interface {
	Droplet(sha256 string) (io.ReadCloser, error)
}

// adoptions is how many droplets are made into images at a time.
const adoptions = 2

// adopt finds the uploaded droplets that are not images yet.
func (l *Loop) adopt(ctx context.Context) error {
	if l.Adopter == nil {
		return nil
	}
	var waiting []*store.Droplet
	err := l.DB.View(func(tx *store.Tx) (err error) {
		waiting, _, err = store.Droplets.List(tx, store.Query[store.Droplet]{Where: []store.Cond{store.By("state", store.StateProcessingUpload)}})
		return err
	})
	if err != nil {
		return fmt.Errorf("read droplets: %w", err)
	}
	for _, d := range waiting {
		l.startAdoption(ctx, d)
	}
	return nil
}

func (l *Loop) startAdoption(ctx context.Context, d *store.Droplet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.adopting == nil {
		l.adopting = map[string]bool{}
	}
	if l.adopting[d.GUID] || len(l.adopting) >= adoptions {
		return
	}
	l.adopting[d.GUID] = true
	l.workers.Go(func() {
		l.adoptOne(ctx, d)
		l.mu.Lock()
		delete(l.adopting, d.GUID)
		l.mu.Unlock()
		select {
		case l.wake <- struct{}{}:
		default:
		}
	})
}

// adoptOne makes the image and writes the end of it into the droplet and the job of its upload.
func (l *Loop) adoptOne(ctx context.Context, d *store.Droplet) {
	result, stack, err := l.adoption(ctx, d)
	if ctx.Err() != nil {
		return // the server stops; the next start takes it up
	}
	if err != nil {
		l.Log.Info("uploaded droplet refused", "app", d.AppGUID, "droplet", d.GUID, "error", err)
	}
	end := func(tx *store.Tx) error {
		fresh, err2 := store.Droplets.Get(tx, d.GUID)
		if errors.Is(err2, store.ErrNotFound) {
			return nil
		}
		if err2 != nil {
			return err2
		}
		fresh.SHA256 = "" // the archive is not needed any more
		if err != nil {
			fresh.State, fresh.Error = store.StateFailed, Explain(err)
		} else {
			fresh.State, fresh.Stack = store.StateStaged, stack
			fresh.Repository, fresh.ImageDigest, fresh.SizeBytes = Repository(d.AppGUID), result.Digest, result.SizeBytes
			fresh.RunImage = result.RunImage
			fresh.ProcessTypes = map[string]string{}
			for _, p := range result.Processes {
				fresh.ProcessTypes[p.Type] = p.Command
			}
		}
		return errors.Join(store.Droplets.Put(tx, fresh), endUpload(tx, fresh))
	}
	if err := l.DB.Update(end); err != nil {
		l.Log.Error("end of an upload not written", "droplet", d.GUID, "error", err)
	}
}

func (l *Loop) adoption(ctx context.Context, d *store.Droplet) (*buildpack.Result, string, error) {
	var stack *store.Stack
	err := l.DB.View(func(tx *store.Tx) (err error) {
		stack, err = findStack(tx, d.Lifecycle.Stack)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("stack %q: %w", d.Lifecycle.Stack, err)
	}
	if stack.RunImage == "" {
		return nil, "", errors.New("the platform's stack is being prepared: upload the droplet again in some minutes")
	}
	archive, err := l.Blobs.Droplet(d.SHA256)
	if err != nil {
		return nil, "", err
	}
	defer archive.Close()
	result, err := l.Adopter.Adopt(ctx, buildpack.Adoption{
		ID: d.GUID, Archive: archive, BuildImage: stack.BuildImage, RunImage: stack.RunImage,
		Repository: l.Registry + "/" + Repository(d.AppGUID), Processes: d.ProcessTypes,
	})
	return result, stack.Name, err
}

// endUpload ends the job that the uploader polls.
func endUpload(tx *store.Tx, d *store.Droplet) error {
	jobs, _, err := store.Jobs.List(tx, store.Query[store.Job]{
		Where: []store.Cond{store.By("state", "PROCESSING")},
		Match: func(j *store.Job) bool { return j.ResourceGUID == d.GUID },
	})
	for _, j := range jobs {
		j.State = "COMPLETE"
		if d.State == store.StateFailed {
			j.State = "FAILED"
			j.Errors = []store.JobError{{Code: 10008, Title: "CF-UnprocessableEntity", Detail: d.Error}}
		}
		err = errors.Join(err, store.Jobs.Put(tx, j))
	}
	return err
}
