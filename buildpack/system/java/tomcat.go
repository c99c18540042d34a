package java

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

// tomcat makes the server's layer and returns the arguments of java that start it.
func (b *build) tomcat(a *app) ([]string, error) {
	if a.file != "" {
		if err := unpackWAR(b.c.Path(a.file), b.c.AppDir); err != nil {
			return nil, fmt.Errorf("unpack %s: %w", a.file, err)
		}
		if err := os.Remove(b.c.Path(a.file)); err != nil {
			return nil, err
		}
	}
	layer, err := b.c.Layer("tomcat")
	if err != nil {
		return nil, err
	}
	layer.Launch, layer.Cache = true, true
	jars, err := tomcatJars()
	if err != nil {
		return nil, err
	}
	var key cnb.Key
	key.Text(layerFormat, serverXML, webXML, loggingProperties, b.c.AppDir)
	for _, from := range jars {
		real, err := filepath.EvalSymlinks(from)
		if err != nil {
			return nil, err
		}
		key.Text(filepath.Base(real)) // names carry the version
	}
	if layer.Fits("key", key.Sum()) {
		b.c.Log.Step("Tomcat from the cache")
		return tomcatArgs(layer), layer.Write()
	}
	b.c.Log.Step("Tomcat of the stack")
	if err := layer.Reset(); err != nil {
		return nil, err
	}
	for to, from := range jars {
		if err := os.MkdirAll(filepath.Dir(layer.Path(to)), 0o755); err != nil {
			return nil, err
		}
		if err := copyFile(from, layer.Path(to), 0o644); err != nil {
			return nil, err
		}
	}
	if err := writeConfiguration(layer, b.c.AppDir); err != nil {
		return nil, err
	}
	layer.Metadata["key"] = key.Sum()
	return tomcatArgs(layer), layer.Write()
}

// tomcatJars are the server's files by their places in the layer.
func tomcatJars() (map[string]string, error) {
	jars := map[string]string{"lib/ecj.jar": filepath.Join(javaFolder, "eclipse-jdt-core-compiler-batch.jar")} // compiles JSP
	for _, name := range []string{"bootstrap.jar", "tomcat-juli.jar"} {
		jars["boot/"+name] = filepath.Join(tomcatFolder, "bin", name)
	}
	found, err := filepath.Glob(filepath.Join(tomcatFolder, "lib", "*.jar"))
	if err != nil {
		return nil, err
	}
	for _, name := range found {
		if _, err := os.Stat(name); err == nil { // the stack leaves out what is for clusters
			jars["lib/"+filepath.Base(name)] = name
		}
	}
	if len(jars) < 10 {
		return nil, errors.New("the stack has no Tomcat: its build image must have Debian's libtomcat10-java and tomcat10-common")
	}
	return jars, nil
}

func tomcatArgs(l *cnb.Layer) []string {
	return []string{
		"-Dcatalina.home=" + l.Dir, "-Dcatalina.base=" + l.Dir,
		"-Djava.util.logging.config.file=" + l.Path("conf", "logging.properties"),
		"-Djava.util.logging.manager=org.apache.juli.ClassLoaderLogManager",
		"-Dorg.apache.tomcat.util.digester.PROPERTY_SOURCE=org.apache.tomcat.util.digester.EnvironmentPropertySource",
		"-cp", l.Path("boot", "bootstrap.jar") + ":" + l.Path("boot", "tomcat-juli.jar"),
		"org.apache.catalina.startup.Bootstrap", "start",
	}
}

func writeConfiguration(l *cnb.Layer, appDir string) error {
	if err := os.MkdirAll(l.Path("conf"), 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"server.xml": strings.ReplaceAll(serverXML, "APP", appDir), "web.xml": webXML, "logging.properties": loggingProperties,
	} {
		if err := os.WriteFile(l.Path("conf", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// unpackWAR writes the files of a WAR below dir.
func unpackWAR(name, dir string) error {
	z, err := zip.OpenReader(name)
	if err != nil {
		return err
	}
	defer z.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range z.File {
		path := filepath.Clean(strings.TrimPrefix(f.Name, "/"))
		if f.FileInfo().IsDir() {
			err = root.MkdirAll(path, 0o755)
		} else if f.Mode().IsRegular() {
			err = unpackFile(root, path, f)
		}
		if err != nil {
			return fmt.Errorf("%q: %w", f.Name, err)
		}
	}
	return nil
}

func unpackFile(root *os.Root, path string, f *zip.File) error {
	if err := root.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	src, err := f.Open()
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := root.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

// serverXML is a server of one app at the root, on the port of the environment, behind a router. APP is its folder.
const serverXML = `<?xml version="1.0" encoding="UTF-8"?>
<Server port="-1">
  <Service name="Catalina">
    <Connector port="${PORT}" protocol="HTTP/1.1" connectionTimeout="20000" URIEncoding="UTF-8"/>
    <Engine name="Catalina" defaultHost="localhost">
      <Valve className="org.apache.catalina.valves.RemoteIpValve" protocolHeader="x-forwarded-proto"/>
      <Host name="localhost" appBase="webapps" autoDeploy="false" deployOnStartup="false" unpackWARs="false" workDir="${java.io.tmpdir}/tomcat">
        <Valve className="org.apache.catalina.valves.ErrorReportValve" showReport="false" showServerInfo="false"/>
        <Context path="" docBase="APP" reloadable="false"/>
      </Host>
    </Engine>
  </Service>
</Server>
`

const loggingProperties = `handlers = java.util.logging.ConsoleHandler
.level = INFO
java.util.logging.ConsoleHandler.level = ALL
java.util.logging.ConsoleHandler.formatter = org.apache.juli.OneLineFormatter
java.util.logging.ConsoleHandler.encoding = UTF-8
`
