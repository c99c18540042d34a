const port = Number(process.env.PORT);
require('node:http').createServer((req, res) => res.end('here\n')).listen(port, '127.0.0.1', () => console.log(`listening on 127.0.0.1:${port}`));
