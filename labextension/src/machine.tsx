// The GPUs: use, memory, power, temperature, and whose processes hold them.
import type { TranslationBundle } from '@jupyterlab/translation';
import { bytes, IGpu } from '@llm-magics/model';
import { h } from './h';

function Bar(props: { share: number; label: string }): JSX.Element {
  return (
    <span
      className="llm-Progress"
      role="meter"
      aria-label={props.label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(props.share * 100)}
    >
      <span style={{ width: `${Math.min(1, props.share) * 100}%` }} />
    </span>
  );
}

/** One GPU and its processes. */
export function Gpu(props: { gpu: IGpu; trans: TranslationBundle }): JSX.Element {
  const { gpu, trans } = props;
  const facts = [
    gpu.utilisation !== null && `${gpu.utilisation} %`,
    gpu.power !== null && `${Math.round(gpu.power)}${gpu.power_limit ? ` / ${Math.round(gpu.power_limit)}` : ''} W`,
    gpu.temperature !== null && `${gpu.temperature} °C`
  ].filter(fact => fact);
  return (
    <li className="llm-Gpu">
      <div className="llm-Row-head">
        <span className="llm-Row-name" title={`${gpu.name}\n${gpu.uuid}`}>
          GPU {gpu.index}
        </span>
        <span className="llm-muted">{gpu.name}</span>
      </div>
      <div className="llm-Row-line">
        <Bar
          share={gpu.memory_total ? gpu.memory_used / gpu.memory_total : 0}
          label={trans.__('Memory of GPU %1', gpu.index)}
        />
        <span>
          {bytes(gpu.memory_used)} / {bytes(gpu.memory_total)}
        </span>
      </div>
      {facts.length > 0 && <div className="llm-Row-line llm-muted">{facts.join(' · ')}</div>}
      {gpu.processes.map(process => (
        <div className="llm-Row-line llm-muted" key={process.pid}>
          <span>{process.server ? process.server : trans.__('%1 (pid %2)', process.name || '?', process.pid)}</span>
          <span>{process.memory === null ? '' : bytes(process.memory)}</span>
        </div>
      ))}
    </li>
  );
}
