console.error("the build of this app fails"); process.exit(3);
