console.error("this app ends at once"); process.exit(1);
