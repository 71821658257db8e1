// The console's server: HTTPS on the management address for operators, and the same API on a local Unix socket for the command line.
// Both are closed together; nothing here decides anything about the pair.
import type { SettingsRequest } from '../settings-state.ts';
import type { Lab } from './lab.ts';
import { LiveHub } from './live.ts';
import { PasswordVerifier } from './password.ts';
import { type RouteOptions, registerRoutes } from './routes.ts';
import { Sessions } from './sessions.ts';
import type { ActionRequest, PointRequest, SnapshotSource } from './types.ts';
import { listenOnUnixSocket } from './unix-listener.ts';
import type { UpdateRequest } from './update-routes.ts';
import { closeServer, listenOnAddress, plainServer, servePage, tlsServer } from './web-server.ts';

export interface ConsoleServerOptions extends SnapshotSource {
  request: ActionRequest;
  /** Missing: there are no restore points here. */
  points?: PointRequest;
  /** Missing: this server was not started from an image. */
  updates?: UpdateRequest;
  /** Missing: nothing can be changed here. */
  settings?: SettingsRequest;
  /** What is known of the two servers' hardware, JSON. Missing or null: nobody asks. */
  qualification?: () => object | null;
  config: {
    /** TLS port; 0: no TLS console. */
    port: number;
    address: string;
    /** argon2id, PHC string; '': nobody can sign in. */
    passwordHash: string;
    socketPath: string;
  };
  /** PEM. */
  tls: { key: string; cert: string };
  /** Directory of the built page (index.html, app.js, style.css). */
  webRoot: string;
  lab?: Lab;
  /** One line per sign-in, action and failure; never a secret. */
  log?: (line: string) => void;
  /** Monotonic ms, for tests. */
  nowMs?: () => number;
}

export interface ConsoleServer {
  /** 'https://10.0.0.1:8443', or null without a TLS console. */
  url: string | null;
  /** From now on; all sessions but this one end. */
  setPassword(hash: string, session: string): void;
  close(): Promise<void>;
}

export async function startConsoleServer(options: ConsoleServerOptions): Promise<ConsoleServer> {
  const { config } = options;
  const nowMs = options.nowMs ?? (() => performance.now());
  const live = new LiveHub({ snapshot: options.snapshot, onChange: options.onChange, nowMs });
  const shared: Omit<RouteOptions, 'signIn'> = {
    snapshot: options.snapshot,
    onChange: options.onChange,
    live,
    request: options.request,
    points: options.points,
    updates: options.updates,
    settings: options.settings,
    qualification: options.qualification,
    lab: options.lab,
    log: options.log ?? (() => {}),
  };
  const closers: (() => Promise<unknown>)[] = [];
  const close = async (): Promise<void> => {
    live.close();
    await Promise.all(closers.map((closer) => closer()));
  };
  try {
    const local = plainServer();
    registerRoutes(local, { ...shared, signIn: null });
    await local.ready();
    const removeName = await listenOnUnixSocket(local.server, config.socketPath);
    closers.push(() => closeServer(local).then(removeName));
    if (config.port === 0) return { url: null, setPassword: () => {}, close };

    const password = new PasswordVerifier(config.passwordHash);
    const sessions = new Sessions(nowMs);
    const setPassword = (hash: string, session: string): void => {
      password.change(hash);
      sessions.closeOthers(session);
    };
    const remote = tlsServer(options.tls);
    closers.push(() => closeServer(remote));
    // Both consoles of a pair may be reached through one name with two ports, and cookies know no ports: each has its own name.
    const cookieName = `__Host-twinstep-${options.snapshot().coServer}`;
    registerRoutes(remote, { ...shared, signIn: { sessions, password, cookieName, nowMs } });
    await servePage(remote, options.webRoot);
    await remote.ready();
    await listenOnAddress(remote.server, config.address, config.port);
    const host = config.address.includes(':') ? `[${config.address}]` : config.address;
    return { url: `https://${host}:${config.port}`, setPassword, close };
  } catch (error) {
    await close();
    throw error;
  }
}
