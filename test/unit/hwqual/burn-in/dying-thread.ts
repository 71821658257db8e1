// A thread that dies at once.
throw new Error('no such core');
