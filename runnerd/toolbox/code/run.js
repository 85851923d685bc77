// Runs the program on standard input as the main module. `language` is 'javascript' or 'typescript'.
// A program that uses import and export, or await outside of functions, becomes one that node takes here.
(language) => {
  const fs = require('fs'), path = require('path'), Module = require('module');
  const name = path.join(process.cwd(), language === 'typescript' ? '[stdin].ts' : '[stdin].js');

  function findTypescript() {
    const roots = [process.cwd(), ...Module.globalPaths, path.join(process.execPath, '../../lib/node_modules'),
      '/usr/local/lib/node_modules', '/usr/lib/node_modules', '/usr/share/nodejs'];
    for (const from of roots) {
      try {
        return require(require.resolve('typescript', { paths: [from] }));
      } catch (e) {
        if (e.code !== 'MODULE_NOT_FOUND') throw e;
      }
    }
    return null;
  }

  function transpile(ts, text, file) {
    const out = ts.transpileModule(text, {
      fileName: file, reportDiagnostics: true,
      compilerOptions: {
        module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022 || ts.ScriptTarget.ES2020, esModuleInterop: true,
        allowJs: true, inlineSourceMap: true, inlineSources: true,
      },
    });
    const wrong = (out.diagnostics || []).filter((d) => d.category === ts.DiagnosticCategory.Error);
    if (wrong.length > 0) {
      const host = { getCurrentDirectory: () => process.cwd(), getCanonicalFileName: (f) => f, getNewLine: () => '\n' };
      fs.writeSync(2, ts.formatDiagnostics(wrong, host));
      process.exit(1);
    }
    return out.outputText;
  }

  // As node tells of an error that nobody catches, without the frames of how the program was started.
  function complain(error) {
    if (process.listenerCount('uncaughtException') > 0) throw error;
    if (error instanceof Error && typeof error.stack === 'string') {
      const lines = error.stack.split('\n');
      const starter = lines.findIndex((line) => /^ {4}at .*node:internal\/modules\/cjs\/loader/.test(line));
      fs.writeSync(2, (starter > 0 ? lines.slice(0, starter) : lines).join('\n') + '\n');
    } else {
      fs.writeSync(2, `Uncaught ${require('util').inspect(error)}\n`);
    }
    process.exit(1);
  }

  function load(text) {
    const main = new Module(name, undefined);
    main.filename = name;
    main.paths = Module._nodeModulePaths(process.cwd());
    process.mainModule = main; // so that require.main === module
    try {
      main._compile(text, name);
      main.loaded = true;
    } catch (e) {
      complain(e);
    }
  }

  function compiles(text) {
    try {
      new (require('vm').Script)(Module.wrap(text));
      return true;
    } catch (e) {
      return false;
    }
  }

  let text = fs.readFileSync(0, 'utf8').replace(/^\uFEFF/, '').replace(/^#!/, '//');
  let ts = null;
  if (language === 'typescript') {
    ts = findTypescript();
    if (ts === null) {
      fs.writeSync(2, 'daytona: this sandbox has no typescript package: npm install -g typescript, or use a snapshot that has it\n');
      process.exit(127);
    }
    process.argv.splice(1, 0, name); // the program's file, as ts-node has it
    Module._extensions['.ts'] = (module, file) => module._compile(transpile(ts, fs.readFileSync(file, 'utf8'), file), file);
    text = transpile(ts, text, name);
    if (process.setSourceMapsEnabled) process.setSourceMapsEnabled(true);
  }
  // What the parser says of these depends on where they stand, so it is asked again.
  if (ts === null && /\b(import|export)\b/.test(text) && !compiles(text) && (ts = findTypescript()) !== null) {
    text = transpile(ts, text, name);
    if (process.setSourceMapsEnabled) process.setSourceMapsEnabled(true);
  }
  const asynchronous = `(async()=>{${text}\n})()`;
  if (/\bawait\b/.test(text) && !compiles(text) && compiles(asynchronous)) text = asynchronous;
  load(text);
}
