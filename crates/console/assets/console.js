// The console's one script. Pages work without it but for passkeys; it asks authenticators, keeps pages up to date, and takes
// keys. Nothing that comes from elsewhere is run: what it is given is text, or a page of ours.
'use strict';

(() => {
  // ------------------------------------------------------------------ small things

  const all = (query, under = document) => [...under.querySelectorAll(query)];
  const bytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer)))
      .replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  const ours = window.trustedTypes
    ? trustedTypes.createPolicy('durward', { createHTML: (page) => page })
    : { createHTML: (page) => page };
  const parsed = (page) => new DOMParser().parseFromString(ours.createHTML(page), 'text/html');

  const say = (form, words) => {
    const place = form.querySelector('[role=alert]');
    if (!place) return;
    place.textContent = words;
    place.hidden = !words;
  };

  // ------------------------------------------------------------------ passkeys

  const ask = async (path, form) => {
    const sent = new URLSearchParams();
    for (const [name, value] of new FormData(form)) {
      if (name !== 'signed' && name !== 'made') sent.append(name, value);
    }
    const answer = await fetch(path, { method: 'POST', body: sent, redirect: 'error' });
    const body = await answer.text();
    let said;
    // What went wrong before it was a question comes as a page.
    try { said = JSON.parse(body); } catch { said = { says: parsed(body).querySelector('[role=alert]')?.textContent }; }
    if (!answer.ok) throw new Error(said.says || 'The gateway did not answer. Nothing was done.');
    return said;
  };

  const sign = async (question) => {
    const given = await navigator.credentials.get({
      publicKey: {
        challenge: bytes(question.challenge),
        rpId: question.rp_id,
        timeout: question.timeout,
        userVerification: 'required',
        allowCredentials: question.keys.map((id) => ({ type: 'public-key', id: bytes(id) })),
      },
    });
    return JSON.stringify({
      id: text(given.rawId),
      client_data: text(given.response.clientDataJSON),
      data: text(given.response.authenticatorData),
      signature: text(given.response.signature),
    });
  };

  const make = async (question) => {
    const given = await navigator.credentials.create({
      publicKey: {
        challenge: bytes(question.challenge),
        rp: { id: question.rp_id, name: 'Durward' },
        user: { id: bytes(question.user.id), name: question.user.name, displayName: question.user.name },
        pubKeyCredParams: question.algorithms.map((alg) => ({ type: 'public-key', alg })),
        timeout: question.timeout,
        attestation: 'none',
        authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
        excludeCredentials: question.keys.map((id) => ({ type: 'public-key', id: bytes(id) })),
      },
    });
    return JSON.stringify({
      id: text(given.rawId),
      client_data: text(given.response.clientDataJSON),
      attestation: text(given.response.attestationObject),
    });
  };

  const explained = (error) => {
    const why = {
      NotAllowedError: 'No passkey answered: it was cancelled, or took too long. Nothing was done.',
      InvalidStateError: 'This device has a passkey here already.',
      SecurityError: 'Passkeys need https, or localhost. Nothing was done.',
    };
    return why[error.name] || error.message;
  };

  const withPasskey = async (form, button) => {
    const { passkey, make: makes, join } = form.dataset;
    const buttons = all('button', form);
    say(form, '');
    buttons.forEach((one) => { one.disabled = true; });
    try {
      if (!window.PublicKeyCredential) throw new Error('This browser has no passkeys here: they need https, or localhost.');
      const fields = form.elements;
      if (passkey) fields.namedItem('signed').value = await sign(await ask(passkey, form));
      if (makes || join) fields.namedItem('made').value = await make(await ask(makes || join, form));
      buttons.forEach((one) => { one.disabled = false; });
      form.dataset.ready = 'yes';
      form.requestSubmit(button);
    } catch (error) {
      buttons.forEach((one) => { one.disabled = false; });
      say(form, explained(error));
      button?.focus();
    }
  };

  document.addEventListener('submit', (event) => {
    const form = event.target;
    const { passkey, make: makes, join, ready } = form.dataset;
    const only = form.querySelector('[data-presence]');
    if (!(passkey || makes || join) || (only && event.submitter !== only)) return;
    if (ready) {
      delete form.dataset.ready;
      return;
    }
    event.preventDefault();
    withPasskey(form, event.submitter);
  });

  // Whoever lets more rows change than the page says is told before they answer.
  document.addEventListener('input', ({ target }) => {
    const raised = target.dataset.most === undefined ? null : target.form.querySelector('[data-raised]');
    if (raised) raised.hidden = !(Number(target.value) > Number(target.dataset.most));
  });

  // The secret of an invitation is behind the #, and does not stay in the address.
  const invitation = document.querySelector('form[data-join] [name=invitation]');
  if (invitation) {
    invitation.value = location.hash.slice(1);
    history.replaceState(null, '', location.pathname);
    if (!invitation.value) say(invitation.form, 'This link has no invitation in it: follow the whole link that you were given.');
  }

  // Going on to an issuer, without a click.
  document.querySelector('[data-follow]')?.click();

  // ------------------------------------------------------------------ moments

  const distance = (seconds) => {
    const far = Math.abs(seconds);
    if (far < 45) return seconds <= 0 ? 'just now' : 'in a moment';
    const [count, unit] = far < 5400 ? [Math.max(1, Math.ceil(far / 60)), 'min']
      : far < 129600 ? [Math.round(far / 3600), 'h'] : [Math.round(far / 86400), 'days'];
    return seconds < 0 ? `${count} ${unit} ago` : `in ${count} ${unit}`;
  };
  const moments = () => all('time[data-at]').forEach((time) => {
    const now = distance(Number(time.dataset.at) - Date.now() / 1000);
    if (time.textContent !== now) time.textContent = now;
  });
  setInterval(moments, 15000);

  // ------------------------------------------------------------------ what changes by itself

  const state = document.getElementById('live-state');
  const tell = (words, lost = false) => {
    if (!state) return;
    state.textContent = words;
    state.classList.toggle('lost', lost);
    state.hidden = !words;
    clearTimeout(tell.until);
    if (!lost && words) tell.until = setTimeout(() => tell(''), 8000);
  };

  // A part is replaced where its mark differs, so that nothing moves that did not change and nobody loses what they type. In a
  // list what is new comes last, and what is gone stays where it was, out of reach. What only would be on another page by now is not
  // gone: the page is asked for with what is kept here.
  const refresh = (page) => {
    let fresh = 0;
    for (const list of all('[data-live-list]')) {
      const now = page.getElementById(list.id);
      if (!now) continue;
      for (const item of all(':scope > *', now)) {
        if (document.getElementById(item.id)) continue;
        list.append(document.importNode(item, true));
        fresh += 1;
      }
      // What grows keeps what it has, up to a bound.
      if (list.dataset.liveList === 'grows') {
        all(':scope > *', list).slice(0, -200).forEach((item) => item.remove());
        continue;
      }
      for (const item of all(':scope > *', list)) {
        const gone = !page.getElementById(item.id);
        item.classList.toggle('gone', gone);
        item.toggleAttribute('inert', gone);
      }
    }
    for (const part of all('[data-live-part]')) {
      const now = page.getElementById(part.id);
      if (!now || now.dataset.livePart === part.dataset.livePart) continue;
      const here = part.contains(document.activeElement);
      part.replaceWith(document.importNode(now, true));
      if (here) document.getElementById('main')?.focus();
    }
    document.title = page.title;
    moments();
    if (fresh && document.getElementById('waiting')) tell(fresh === 1 ? 'A new request has come in.' : `${fresh} new requests have come in.`);
  };

  const { live } = document.body.dataset;
  let source;
  let busy = false;
  let again = false;
  const look = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const here = new URL(location.href);
      const kept = all('[data-live-list=kept] > :not(.gone)').map((item) => item.id.slice(2));
      if (kept.length) here.searchParams.set('kept', kept.slice(0, 100).join(','));
      const answer = await fetch(here, { cache: 'no-store' });
      if (answer.redirected) { location.reload(); return; }
      if (answer.ok) refresh(parsed(await answer.text()));
    } catch { /* The stream says when it is back. */ }
    busy = false;
    if (again) { again = false; look(); }
  };
  // Why we are not heard: a stream that is refused does not say it.
  const why = async () => {
    const ending = new AbortController();
    try {
      const answer = await fetch(live, { cache: 'no-store', redirect: 'manual', signal: ending.signal });
      if (answer.type === 'opaqueredirect' || answer.status === 401) return 'You are not signed in any more: sign in again to see what changes.';
      if (answer.status === 403) return 'Your roles here do not let you see this any more.';
      if (answer.status === 503) return 'This page is not live: too many pages are open, of yours or in all. It is tried again.';
      return answer.ok ? '' : 'This page is not live: the gateway cannot tell what changes. It is tried again.';
    } catch {
      return 'This page is not live: the gateway does not answer. It is tried again.';
    } finally {
      ending.abort();
    }
  };
  let retry;
  let tries = 0;
  const lost = async () => {
    // A browser gives a stream up that is refused, so that it is ours to try again; not at once, and not all at the same moment.
    const words = await why();
    if (words) tell(words, true);
    clearTimeout(retry);
    tries += 1;
    retry = setTimeout(listen, Math.min(30000, 1000 * 2 ** Math.min(tries, 5)) * (0.75 + Math.random() / 2));
  };
  const listen = () => {
    clearTimeout(retry);
    source?.close();
    if (!live || document.hidden) return;
    source = new EventSource(live);
    let first = true;
    source.addEventListener('changed', () => {
      tries = 0;
      if (state?.classList.contains('lost')) tell('');
      // The first says only that we are heard; the page may be older than it, so it is looked at all the same.
      if (!first || document.readyState === 'complete') look();
      first = false;
    });
    source.addEventListener('error', ({ target }) => {
      if (target !== source) return;
      target.close();
      lost();
    });
  };
  document.addEventListener('visibilitychange', listen);
  listen();

  // ------------------------------------------------------------------ texts to copy

  all('pre.copy').forEach((pre) => {
    if (!navigator.clipboard) return;
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'copier';
    button.textContent = 'Copy';
    button.addEventListener('click', async () => {
      const copied = await navigator.clipboard.writeText(pre.querySelector('code').textContent).then(() => true, () => false);
      button.textContent = copied ? 'Copied' : 'Select it';
      setTimeout(() => { button.textContent = 'Copy'; }, 3000);
    });
    pre.classList.add('copyable');
    pre.append(button);
  });

  // ------------------------------------------------------------------ recordings

  // Steps come from the page in parts, and are asked for before they are needed. One is seen at a time.
  const play = (player) => {
    const path = player.dataset.player;
    const total = Number(player.dataset.total);
    const marks = player.dataset.marks ? player.dataset.marks.split(',').map(Number) : [];
    const stage = player.querySelector('[data-stage]');
    const range = player.querySelector('input[type=range]');
    const position = player.querySelector('[data-position]');
    const trouble = player.querySelector('[data-trouble]');
    const act = (name) => player.querySelector(`[data-do="${name}"]`);
    const [start, speed] = [act('play'), act('speed')];
    const known = new Map();
    let here = Number(player.dataset.step);
    let timer;
    let asked;
    const keep = (steps) => steps.forEach((step) => {
      const n = Number(step.dataset.step);
      if (!known.has(n)) known.set(n, step);
    });
    keep(all('[data-step]', stage));
    document.documentElement.classList.add('scripted');
    start.hidden = false;
    speed.closest('label').hidden = false;

    const fetched = async (n) => {
      if (known.has(n) || n >= total || n < 0) return;
      const from = n < here ? Math.max(0, n - 20) : n;
      const answer = await fetch(`${path}/steps?from=${from}`, { cache: 'no-store', redirect: 'error' });
      if (!answer.ok) throw new Error('More of the recording cannot be read now.');
      const steps = all('[data-step]', parsed(await answer.text()));
      keep(steps.map((step) => document.importNode(step, true)));
      if (!known.has(n)) {
        const again = await fetch(`${path}/steps?from=${n}`, { cache: 'no-store', redirect: 'error' });
        keep(all('[data-step]', parsed(await again.text())).map((step) => document.importNode(step, true)));
      }
      // What is far from here is asked for again where it is wanted again.
      if (known.size > 600) {
        for (const far of known.keys()) if (Math.abs(far - n) > 200) known.delete(far);
      }
    };
    const ahead = (n) => {
      if (known.has(n) || n >= total) return;
      asked ??= fetched(n).catch(() => {}).finally(() => { asked = undefined; });
    };
    const where = (name, n) => {
      const link = act(name);
      if (n === undefined || n < 0 || n >= total) {
        link.removeAttribute('href');
        link.setAttribute('aria-disabled', 'true');
      } else {
        link.href = `${path}?step=${n}`;
        link.removeAttribute('aria-disabled');
        link.dataset.to = n;
      }
    };
    const show = async (n, byHand) => {
      if (!(n >= 0 && n < total)) return false;
      try {
        await fetched(n);
      } catch (error) {
        trouble.textContent = error.message;
        trouble.hidden = false;
        pause();
        return false;
      }
      trouble.hidden = true;
      const step = known.get(n);
      if (!step) return false;
      here = n;
      step.hidden = false;
      stage.replaceChildren(step);
      range.value = n;
      position.setAttribute('aria-live', byHand ? 'polite' : 'off');
      position.textContent = `Step ${n + 1} of ${total}, at ${step.dataset.clock}`;
      where('before', n - 1);
      where('after', n + 1);
      where('mark-before', marks.findLast((mark) => mark < n));
      where('mark-after', marks.find((mark) => mark > n));
      // While it plays it goes too fast for browsers to take each step as an address.
      if (byHand) addressed();
      for (let k = 1; k <= 10; k += 1) if (!known.has(n + k)) { ahead(n + k); break; }
      return true;
    };
    const addressed = () => history.replaceState(null, '', `${path}?step=${here}`);
    const pause = () => {
      clearTimeout(timer);
      timer = undefined;
      addressed();
      start.setAttribute('aria-pressed', 'false');
      start.setAttribute('aria-label', 'Play');
    };
    // As it went, but nobody waits long for nothing to happen, and nothing is gone before it can be seen.
    const next = async () => {
      if (here + 1 >= total) { pause(); return; }
      const [from, gap] = [here, Date.now()];
      try { await fetched(here + 1); } catch { /* It is told when it is to be shown. */ }
      const [now, then] = [known.get(from), known.get(from + 1)];
      const between = now && then ? (Number(then.dataset.at) - Number(now.dataset.at)) / 1000 : 0;
      const wait = Math.min(3000, Math.max(400, between)) / Number(speed.value);
      timer = setTimeout(async () => {
        if (timer === undefined) return;
        if (await show(from + 1, false)) { if (timer !== undefined) next(); } else pause();
      }, Math.max(15, wait - (Date.now() - gap)));
    };
    const toggle = () => {
      if (timer !== undefined) { pause(); return; }
      start.setAttribute('aria-pressed', 'true');
      start.setAttribute('aria-label', 'Pause');
      timer = 0;
      if (here + 1 >= total) show(0, false).then(next); else next();
    };
    start.addEventListener('click', toggle);
    ['mark-before', 'before', 'after', 'mark-after'].forEach((name) => act(name).addEventListener('click', (event) => {
      event.preventDefault();
      const link = act(name);
      if (!link.hasAttribute('href')) return;
      pause();
      show(Number(new URL(link.href).searchParams.get('step')), true);
    }));
    range.addEventListener('change', () => { pause(); show(Number(range.value), true); });
    range.form.addEventListener('submit', (event) => event.preventDefault());
    document.addEventListener('keydown', (event) => {
      const typing = event.target.closest('input, textarea, select, button, a, summary, [contenteditable]');
      if (event.ctrlKey || event.metaKey || event.altKey || (typing && event.key === ' ') || event.target.closest('input, textarea, select')) return;
      const name = { ArrowLeft: 'before', ArrowRight: 'after', p: 'mark-before', n: 'mark-after' }[event.key];
      if (event.target.closest('.scroll, pre') && event.key.startsWith('Arrow')) return;
      if (event.key === ' ') toggle(); else if (name) act(name).click(); else return;
      event.preventDefault();
    });
  };
  all('[data-player]').forEach(play);

  // ------------------------------------------------------------------ keys

  document.addEventListener('keydown', (event) => {
    const typing = event.target.closest('input, textarea, select, [contenteditable]');
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const button = all('button[data-key]').find((one) => one.dataset.key === event.key && !one.disabled);
    if (button) {
      event.preventDefault();
      button.scrollIntoView({ block: 'nearest' });
      // Yes asks for the passkey, which is a second step; no is one that a slip must not take.
      if (button.hasAttribute('data-presence')) button.click(); else button.focus();
      return;
    }
    const cards = all('.card:not(.gone) a.cover');
    const step = { j: 1, k: -1 }[event.key];
    if (step && cards.length) {
      const at = cards.indexOf(document.activeElement);
      cards[Math.min(cards.length - 1, Math.max(0, at < 0 ? 0 : at + step))].focus();
    }
  });
})();
