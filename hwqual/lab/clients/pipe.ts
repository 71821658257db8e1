// Run inside the LAN: `pipe.ts ADDRESS PORT` joins its stdin and stdout to a TCP connection. Ends with it: status 1, unless we ended it.
import net from 'node:net';

const [host = '', port = ''] = process.argv.slice(2);
const socket = net.connect({ host, port: Number(port), noDelay: true });
const failed = (why: string): never => {
  process.stderr.write(`${why}\n`);
  process.exit(1);
};
process.stdin.on('data', (piece: Buffer) => socket.write(piece));
process.stdin.on('end', () => process.exit(0));
socket.on('data', (piece: Buffer) => process.stdout.write(piece));
socket.on('error', (error) => failed(error.message));
socket.on('close', () => failed('the guest closed the connection'));
