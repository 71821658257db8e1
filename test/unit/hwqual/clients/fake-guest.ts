// A guest in this process on an address of the loopback network, which serves as it should until told to misbehave.
import { createHash } from 'node:crypto';
import dgram from 'node:dgram';
import http from 'node:http';
import net from 'node:net';
import { contentBytes } from '../../../../hwqual/lab/clients/content.ts';

export type Misbehaviour = 'none' | 'wrongByte' | 'wrongHash' | 'silent' | 'reset' | 'loseRecord' | 'refuseAppend' | 'wrongEcho';

export class FakeGuest {
  readonly host: string;
  misbehaviour: Misbehaviour = 'none';
  readonly records: number[] = [];
  readonly #servers: net.Server[] = [];
  readonly #sockets = new Set<net.Socket>();
  readonly #udp = dgram.createSocket('udp4');

  readonly #web = http.createServer((request, response) => this.#http(request, response));

  private constructor(host: string) {
    this.host = host;
  }

  static async start(host: string): Promise<FakeGuest> {
    const guest = new FakeGuest(host);
    await guest.#listen(guest.#web, 80);
    await guest.#listen(
      net.createServer((socket) => guest.#echo(socket)),
      7,
    );
    await guest.#listen(
      net.createServer((socket) => guest.#records(socket)),
      9009,
    );
    await guest.#listen(
      net.createServer((socket) => guest.#calls(socket)),
      9010,
    );
    guest.#udp.on('message', (message, from) => {
      if (guest.misbehaviour === 'silent') return;
      const answer = Buffer.from(message);
      if (guest.misbehaviour === 'wrongEcho') answer[20] = (answer[20] ?? 0) ^ 1;
      guest.#udp.send(answer, from.port, from.address);
    });
    await new Promise<void>((done) => guest.#udp.bind(7, host, done));
    return guest;
  }

  #listen(server: net.Server, port: number): Promise<void> {
    this.#servers.push(server);
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => {});
    });
    return new Promise((done) => server.listen(port, this.host, done));
  }

  resetAll(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    for (const server of this.#servers) server.close();
    this.resetAll();
    await new Promise<void>((done) => this.#udp.close(done));
  }

  #http(request: http.IncomingMessage, response: http.ServerResponse): void {
    if (this.misbehaviour === 'silent') return;
    const file = /^\/file\/(\d+)/.exec(request.url ?? '');
    if (file !== null) {
      const content = contentBytes(0, Number(file[1]));
      if (this.misbehaviour === 'wrongByte')
        content[Math.floor(content.length / 2)] = (content[Math.floor(content.length / 2)] ?? 0) ^ 0x10;
      response.setHeader('Content-Length', content.length);
      response.end(content);
      return;
    }
    const hash = createHash('sha256');
    let bytes = 0;
    request.on('data', (piece: Buffer) => {
      hash.update(piece);
      bytes += piece.length;
      response.socket?.write(`HTTP/1.1 102 Processing\r\nX-Received: ${bytes}\r\n\r\n`);
    });
    request.on('end', () => {
      const answer = this.misbehaviour === 'wrongHash' ? '0'.repeat(64) : hash.digest('hex');
      response.setHeader('Content-Length', 64);
      response.end(answer);
    });
  }

  /** One call for each line; `silent` never calls, `reset` hangs up, `refuseAppend` says that it cannot. */
  #calls(socket: net.Socket): void {
    socket.on('data', (line: Buffer) => {
      const [, host = '', port = '', service = ''] = line.toString().trim().split(' ');
      if (this.misbehaviour === 'silent') return;
      if (this.misbehaviour === 'reset') socket.resetAndDestroy();
      else if (this.misbehaviour === 'refuseAppend') socket.write('error no route to host\n');
      else {
        const called = net.connect({ host, port: Number(port), localAddress: this.host, noDelay: true });
        this.#sockets.add(called);
        called.on('error', () => {});
        if (service === 'echo') this.#echo(called);
        else if (service === 'http') this.#web.emit('connection', called);
        else this.#records(called);
        called.once('connect', () => socket.write('ok\n'));
      }
    });
    socket.on('error', () => {});
  }

  #echo(socket: net.Socket): void {
    socket.on('data', (piece) => {
      if (this.misbehaviour === 'silent') return;
      if (this.misbehaviour === 'wrongEcho') piece[0] = (piece[0] ?? 0) ^ 1;
      socket.write(piece);
    });
  }

  #records(socket: net.Socket): void {
    let text = '';
    socket.on('data', (piece) => {
      text += piece.toString();
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        this.#record(socket, text.slice(0, end));
        text = text.slice(end + 1);
      }
    });
  }

  #record(socket: net.Socket, line: string): void {
    if (this.misbehaviour === 'silent') return;
    if (line === 'list') {
      socket.write(`records ${this.records.length}\n${this.records.map((n) => `${n}\n`).join('')}end\n`);
      return;
    }
    const number = Number(line.slice('append '.length));
    if (this.misbehaviour === 'refuseAppend') {
      socket.write('error No space left on device\n');
      return;
    }
    if (this.misbehaviour !== 'loseRecord') this.records.push(number);
    socket.write(`ok ${number}\n`);
  }
}
