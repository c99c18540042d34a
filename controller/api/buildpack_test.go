package api

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"mime/multipart"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// uploadBits uploads a buildpack and returns the job.
func (w *world) uploadBits(guid, file string, content []byte) *reply {
	w.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("bits", file)
	w.must(err)
	_, err = part.Write(content)
	w.must(err, form.Close())
	r := httptest.NewRequest("POST", "/v3/buildpacks/"+guid+"/upload", &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	job := w.send("admin", r).want(202).header.Get("Location")
	return w.as("admin", "GET", job[strings.Index(job, "/v3/"):], nil)
}

func buildpackZip(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		f, err := z.Create(name)
		if err == nil {
			_, err = f.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestBuildpackTakesTheStackOfItsBits(t *testing.T) {
	blobs, err := store.OpenBlobs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *Options) { o.Blobs = blobs })
	create := func(body string) string {
		return w.as("admin", "POST", "/v3/buildpacks", body).want(201).guid()
	}
	ours := buildpackZip(t, map[string]string{"bin/detect": "", "manifest.yml": "language: x\nstack: cupola\n"})
	foreign := buildpackZip(t, map[string]string{"bin/detect": "", "manifest.yml": "stack: dos"})

	first := create(`{"name":"x"}`)
	w.uploadBits(first, "x.zip", foreign).want(200, `"state":"FAILED"`, `"code":390012`, "Uploaded buildpack stack (dos) does not exist")
	w.uploadBits(first, "x.zip", ours).want(200, `"state":"COMPLETE"`)
	w.as("admin", "GET", "/v3/buildpacks/"+first, nil).want(200, `"stack":"cupola"`, `"state":"READY"`, `"filename":"x.zip"`)
	w.uploadBits(first, "y.zip", foreign).want(200, `"state":"FAILED"`, `"code":390011`, "does not match cupola")
	w.as("admin", "GET", "/v3/buildpacks/"+first, nil).want(200, `"filename":"x.zip"`)

	second := create(`{"name":"x"}`) // of no stack, beside the first
	w.uploadBits(second, "x.zip", ours).want(200, `"state":"FAILED"`, `"code":290000`, "already in use for the stack cupola")
	w.uploadBits(second, "x.zip", buildpackZip(t, map[string]string{"bin/detect": "", "manifest.yml": ": no\n\tyaml"})).want(200, `"state":"COMPLETE"`)
	w.as("admin", "GET", "/v3/buildpacks/"+second, nil).want(200, `"stack":null`)
}

func TestBuildpackRefusesBadBits(t *testing.T) {
	blobs, err := store.OpenBlobs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *Options) { o.Blobs = blobs })
	classic := w.as("admin", "POST", "/v3/buildpacks", `{"name":"x"}`).want(201).guid()
	for name, bad := range map[string][]byte{
		"a bomb":         buildpackZip(t, map[string]string{"big": strings.Repeat("0", 80<<20)}),
		"a way out":      buildpackZip(t, map[string]string{"../bin/detect": ""}),
		"cut off":        buildpackZip(t, map[string]string{"bin/detect": "text"})[:30],
		"something else": []byte("#!/bin/bash"),
	} {
		if got := w.uploadBits(classic, "x.zip", bad); !strings.Contains(got.text, `"code":390013`) {
			t.Errorf("%s: %s", name, got.text)
		}
	}
	var layout bytes.Buffer
	tw := tar.NewWriter(&layout)
	for _, name := range []string{"oci-layout", "index.json"} {
		w.must(tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}))
	}
	w.must(tw.Close())
	cnb := w.as("admin", "POST", "/v3/buildpacks", `{"name":"x","lifecycle":"cnb"}`).want(201).guid()
	w.uploadBits(cnb, "x.cnb", []byte("not a tar")).want(200, `"state":"FAILED"`, `"code":390013`)
	w.uploadBits(cnb, "x.cnb", layout.Bytes()).want(200, `"state":"COMPLETE"`)
}

func TestBuildpackByURL(t *testing.T) {
	w := newWorld(t)
	app := w.makeApp("a")
	set := func(name string) *reply {
		return w.as("developer", "PATCH", "/v3/apps/"+app, map[string]any{"lifecycle": map[string]any{"data": map[string]any{"buildpacks": []string{name}}}})
	}
	set("https://git.example.com/team/buildpack#v2").want(200, `"buildpacks":["https://git.example.com/team/buildpack#v2"]`)
	hidden := set("https://me:secret@git.example.com/team/buildpack").want(200, `https://***:***@git.example.com/team/buildpack`)
	if strings.Contains(hidden.text, "secret") {
		t.Errorf("the password is shown: %s", hidden.text)
	}
	for _, bad := range []string{"file:///etc/passwd", "ext::sh", "ssh://git@git.example.com/x", "https://-x/y", "https:///x", "https://git.example.com/x#--upload-pack=x"} {
		set(bad).want(422, "valid git URI")
	}
}
