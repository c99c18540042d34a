package java

// webXML holds for every app on Tomcat: files, JSP, sessions, welcome files and the types of usual files.
const webXML = `<?xml version="1.0" encoding="UTF-8"?>
<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0">
  <request-character-encoding>UTF-8</request-character-encoding>
  <response-character-encoding>UTF-8</response-character-encoding>
  <servlet>
    <servlet-name>default</servlet-name>
    <servlet-class>org.apache.catalina.servlets.DefaultServlet</servlet-class>
    <init-param><param-name>listings</param-name><param-value>false</param-value></init-param>
    <init-param><param-name>fileEncoding</param-name><param-value>UTF-8</param-value></init-param>
    <load-on-startup>1</load-on-startup>
  </servlet>
  <servlet>
    <servlet-name>jsp</servlet-name>
    <servlet-class>org.apache.jasper.servlet.JspServlet</servlet-class>
    <init-param><param-name>development</param-name><param-value>false</param-value></init-param>
    <load-on-startup>3</load-on-startup>
  </servlet>
  <servlet-mapping><servlet-name>default</servlet-name><url-pattern>/</url-pattern></servlet-mapping>
  <servlet-mapping><servlet-name>jsp</servlet-name><url-pattern>*.jsp</url-pattern><url-pattern>*.jspx</url-pattern></servlet-mapping>
  <session-config><session-timeout>30</session-timeout></session-config>
  <mime-mapping><extension>avif</extension><mime-type>image/avif</mime-type></mime-mapping>
  <mime-mapping><extension>css</extension><mime-type>text/css</mime-type></mime-mapping>
  <mime-mapping><extension>csv</extension><mime-type>text/csv</mime-type></mime-mapping>
  <mime-mapping><extension>gif</extension><mime-type>image/gif</mime-type></mime-mapping>
  <mime-mapping><extension>htm</extension><mime-type>text/html</mime-type></mime-mapping>
  <mime-mapping><extension>html</extension><mime-type>text/html</mime-type></mime-mapping>
  <mime-mapping><extension>ico</extension><mime-type>image/vnd.microsoft.icon</mime-type></mime-mapping>
  <mime-mapping><extension>jpeg</extension><mime-type>image/jpeg</mime-type></mime-mapping>
  <mime-mapping><extension>jpg</extension><mime-type>image/jpeg</mime-type></mime-mapping>
  <mime-mapping><extension>js</extension><mime-type>text/javascript</mime-type></mime-mapping>
  <mime-mapping><extension>json</extension><mime-type>application/json</mime-type></mime-mapping>
  <mime-mapping><extension>mjs</extension><mime-type>text/javascript</mime-type></mime-mapping>
  <mime-mapping><extension>mp4</extension><mime-type>video/mp4</mime-type></mime-mapping>
  <mime-mapping><extension>pdf</extension><mime-type>application/pdf</mime-type></mime-mapping>
  <mime-mapping><extension>png</extension><mime-type>image/png</mime-type></mime-mapping>
  <mime-mapping><extension>svg</extension><mime-type>image/svg+xml</mime-type></mime-mapping>
  <mime-mapping><extension>txt</extension><mime-type>text/plain</mime-type></mime-mapping>
  <mime-mapping><extension>wasm</extension><mime-type>application/wasm</mime-type></mime-mapping>
  <mime-mapping><extension>webp</extension><mime-type>image/webp</mime-type></mime-mapping>
  <mime-mapping><extension>woff</extension><mime-type>font/woff</mime-type></mime-mapping>
  <mime-mapping><extension>woff2</extension><mime-type>font/woff2</mime-type></mime-mapping>
  <mime-mapping><extension>xml</extension><mime-type>application/xml</mime-type></mime-mapping>
  <mime-mapping><extension>zip</extension><mime-type>application/zip</mime-type></mime-mapping>
  <welcome-file-list>
    <welcome-file>index.html</welcome-file>
    <welcome-file>index.htm</welcome-file>
    <welcome-file>index.jsp</welcome-file>
  </welcome-file-list>
</web-app>
`
