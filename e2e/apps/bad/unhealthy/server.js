const server = require('node:http').createServer((req, res) => {
  if (req.url === '/health') {
    console.error('the database is away');
    res.statusCode = 500;
  }
  res.end('here\n');
});
server.listen(Number(process.env.PORT), '0.0.0.0', () => console.log('listening'));
