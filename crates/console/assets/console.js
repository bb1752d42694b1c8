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
    const said = await answer.json().catch(() => ({}));
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
    if (far < 45) return seconds < 0 ? 'just now' : 'in a moment';
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
  // list what is new comes last, and what is gone stays where it was, out of reach.
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
    if (fresh) tell(fresh === 1 ? 'A new request has come in.' : `${fresh} new requests have come in.`);
  };

  const { live } = document.body.dataset;
  let source;
  let busy = false;
  let again = false;
  const look = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { cache: 'no-store' });
      if (answer.redirected) { location.reload(); return; }
      if (answer.ok) refresh(parsed(await answer.text()));
    } catch { /* The stream says when it is back. */ }
    busy = false;
    if (again) { again = false; look(); }
  };
  const listen = () => {
    source?.close();
    if (!live || document.hidden) return;
    source = new EventSource(live);
    let first = true;
    source.addEventListener('changed', () => {
      if (state?.classList.contains('lost')) tell('');
      // The first says only that we are heard; the page may be older than it, so it is looked at all the same.
      if (!first || document.readyState === 'complete') look();
      first = false;
    });
    source.addEventListener('error', () => tell('This page is not live: the gateway does not answer. It is tried again.', true));
  };
  document.addEventListener('visibilitychange', listen);
  listen();

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
