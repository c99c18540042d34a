package appenv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/cupola-paas/cupola/store"
)

// Features of an app that give it the credentials of its services in files. They exclude each other.
const (
	ServiceBindingK8s     = "service-binding-k8s"      // a folder for each binding
	FileBasedVCAPServices = "file-based-vcap-services" // VCAP_SERVICES as a file
)

// BindingRoot is the folder in containers where those files lie (contract, 5.1).
const BindingRoot = "/etc/cf-service-bindings"

const (
	vcapServicesFile = BindingRoot + "/vcap_services"
	bindingBytes     = 1_000_000 // of all files of an app, with their names, as in Cloud Foundry
	bindingFiles     = 5000
)

// Names of folders and files, as Cloud Controller takes them: nothing in them can lead out of BindingRoot, since dot
// and names that begin with two dots are refused besides.
var (
	bindingName = regexp.MustCompile(`^[a-z0-9.-]+$`)
	fileName    = regexp.MustCompile(`^[a-z0-9._-]+$`)
)

// BindingFilesError says why an app's bindings cannot be files. Who bound the services can mend that.
type BindingFilesError struct{ Reason string }

func (e *BindingFilesError) Error() string {
	return "Cannot build service binding files for app - " + e.Reason
}

// System returns the variables that tell an app about its services: VCAP_SERVICES as a value to encode, or where the
// files are.
func System(app *store.App, services map[string][]Service) map[string]any {
	switch {
	case app.Features[ServiceBindingK8s]:
		return map[string]any{"SERVICE_BINDING_ROOT": BindingRoot}
	case app.Features[FileBasedVCAPServices]:
		return map[string]any{"VCAP_SERVICES_FILE_PATH": vcapServicesFile}
	}
	return map[string]any{"VCAP_SERVICES": services}
}

// BindingFiles are the files about the services of an app, by absolute path; none if it has neither of the features.
// The error is a *BindingFilesError if names or sizes do not fit.
func BindingFiles(tx *store.Tx, app *store.App) (map[string][]byte, error) {
	if !app.Features[ServiceBindingK8s] && !app.Features[FileBasedVCAPServices] {
		return nil, nil
	}
	services, err := Services(tx, app.GUID)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	if app.Features[ServiceBindingK8s] {
		err = folders(files, services)
	} else {
		files[vcapServicesFile], err = json.Marshal(services)
	}
	if err != nil {
		return nil, err
	}
	return files, checkSize(files)
}

func checkSize(files map[string][]byte) error {
	if len(files) > bindingFiles {
		return &BindingFilesError{fmt.Sprintf("Bindings exceed the maximum allowed number of %d files: %d", bindingFiles, len(files))}
	}
	total := 0
	for path, content := range files {
		total += len(path) - len(BindingRoot+"/") + len(content)
	}
	if total > bindingBytes {
		return &BindingFilesError{fmt.Sprintf("Bindings exceed the maximum allowed bytesize of %d: %d", bindingBytes, total)}
	}
	return nil
}

// folders adds a folder for each binding (Service Binding Specification for Kubernetes 1.1, Workload Projection).
func folders(files map[string][]byte, services map[string][]Service) error {
	seen := map[string]bool{}
	for _, list := range services {
		for _, s := range list {
			switch {
			case !fits(bindingName, s.Name) || hidden(s.Name):
				return &BindingFilesError{fmt.Sprintf("Invalid binding name: '%.300s'. Name must match /^[a-z0-9\\-.]{1,253}$/: bind the service again with a --binding-name that does", s.Name)}
			case seen[s.Name]:
				return &BindingFilesError{"Duplicate binding name: " + s.Name}
			}
			seen[s.Name] = true
			if err := folder(files, BindingRoot+"/"+s.Name+"/", s); err != nil {
				return err
			}
		}
	}
	return nil
}

// hidden says whether a name has a meaning of its own in a folder; ours for changing contents begin so, too.
// fits bounds the length beside the expression: a repetition of 253 costs each start of the program milliseconds.
func fits(pattern *regexp.Regexp, name string) bool {
	return len(name) <= 253 && pattern.MatchString(name)
}

func hidden(name string) bool { return name == "." || strings.HasPrefix(name, "..") }

// folder adds the files of one binding. What the platform says about it wins over credentials of the same name.
func folder(files map[string][]byte, dir string, s Service) error {
	if err := addFiles(files, dir, s.Credentials); err != nil {
		return err
	}
	credentials := s.Credentials
	s.Credentials = nil
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	s.Credentials = credentials
	if err := addFiles(files, dir, raw); err != nil {
		return err
	}
	files[dir+"type"], files[dir+"provider"] = []byte(s.Label), []byte(s.Label)
	return nil
}

// addFiles adds a file for each member of a JSON object. Those that say nothing are left out.
func addFiles(files map[string][]byte, dir string, object json.RawMessage) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		return &BindingFilesError{"Credentials are not a JSON object"}
	}
	for name, value := range members {
		if !fits(fileName, name) || hidden(name) {
			return &BindingFilesError{fmt.Sprintf("Invalid file name: %.300s", name)}
		}
		content, err := fileContent(value)
		if err != nil {
			return err
		}
		if content != nil {
			files[dir+name] = content
		}
	}
	return nil
}

// fileContent is the text of a string, else the JSON without blanks; nil for null and for what has no members.
func fileContent(value json.RawMessage) ([]byte, error) {
	if bytes.HasPrefix(value, []byte(`"`)) {
		var text string
		err := json.Unmarshal(value, &text)
		return []byte(text), err
	}
	var b bytes.Buffer
	if err := json.Compact(&b, value); err != nil {
		return nil, err
	}
	switch b.String() {
	case "null", "[]", "{}":
		return nil, nil
	}
	return b.Bytes(), nil
}
